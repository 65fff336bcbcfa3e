"""The settings of a run: their schema, overrides on the command line, and strict parsing."""
