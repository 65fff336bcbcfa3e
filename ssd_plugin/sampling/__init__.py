"""Completions from a model: one protocol, several engines."""
