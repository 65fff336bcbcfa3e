"""Recipes: one short file a model."""
