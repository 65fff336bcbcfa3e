"""Installed packages that programs may import beside the standard library: those that tasks use, with all that these need."""

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

_ALWAYS = ("numpy",)  # what published suites import
_NAME = re.compile(r"[\w.-]+")
_NOT_MODULES = ("..", "__pycache__")


def entries(modules: Iterable[str]) -> list[Path]:
    """The files and folders of the installed distributions that hold these modules (those that are none are left out), and of
    the distributions that they require."""
    waiting = list(_ALWAYS)
    if wanted := set(modules) - set(_ALWAYS):
        holders = importlib.metadata.packages_distributions()
        waiting += [name for module in sorted(wanted) for name in holders.get(module, ())]
    found: dict[str, list[Path]] = {}
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = []
            continue
        tops = {path.parts[0] for path in distribution.files or () if path.parts[0] not in _NOT_MODULES}
        found[name] = [path for top in sorted(tops) if (path := Path(str(distribution.locate_file(top)))).exists()]
        needed = [text for text in distribution.requires or () if "extra ==" not in text]
        waiting += [match[0] for text in needed if (match := _NAME.match(text))]
    return [path for paths in found.values() for path in paths if path.suffix != ".pth"]
