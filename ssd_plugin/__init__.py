"""Simple Self-Distillation for the post-training frameworks people run, and the gates before production."""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The Python API at its first use; loaded by name, since all modules import this package and the API imports them all."""
    api = importlib.import_module("ssd_plugin.api")
    if name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
