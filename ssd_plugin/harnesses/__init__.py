"""Reads what evaluation harnesses write about each item, one file a harness, and pairs two sides of it."""
