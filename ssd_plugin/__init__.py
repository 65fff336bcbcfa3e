"""Simple Self-Distillation for the post-training frameworks people run, and the gates before production."""

__version__ = "0.1.0"
