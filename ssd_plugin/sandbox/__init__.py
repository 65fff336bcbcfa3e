"""The boundary around model-written code."""
