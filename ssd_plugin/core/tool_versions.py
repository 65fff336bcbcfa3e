"""Versions of Python and of installed distributions, for records of what made a result."""

import importlib.metadata
import platform
from collections.abc import Iterable


def tool_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those of the named distributions that are installed."""
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
