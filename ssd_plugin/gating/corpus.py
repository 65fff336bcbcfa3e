"""Code written by people, as a ruler: the functions of a directory of Python files, by default this Python's standard library."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from ssd_plugin.errors import DataError
from ssd_plugin.metrics import program_syntax as syntax

# Plain, varied modules that exist in every supported Python version.
_STANDARD = (
    "argparse", "ast", "bisect", "calendar", "codecs", "configparser", "copy", "csv", "dataclasses", "datetime", "difflib",
    "fractions", "functools", "glob", "heapq", "inspect", "ipaddress", "json/decoder", "json/encoder", "linecache", "numbers",
    "operator", "pathlib", "pprint", "queue", "random", "sched", "shlex", "shutil", "statistics", "string", "tempfile",
    "textwrap", "tokenize", "typing", "urllib/parse", "zipfile",
)  # fmt: skip


def _files(directory: str) -> list[Path]:
    if directory:
        return sorted(Path(directory).rglob("*.py"))
    library = Path(sysconfig.get_paths()["stdlib"])
    return [path for name in _STANDARD if (path := library / f"{name}.py").is_file()]


def functions(directory: str, limit: int) -> list[ast.Module]:
    """Up to `limit` functions and methods with three statements or more, spread evenly over the files, each a module of its own.

    Raises:
        DataError: fewer than 50 such functions were found.
    """
    found = [tree for path in _files(directory) for tree in of_file(path)]
    if len(found) < 50:
        raise DataError(
            f"corpus {directory or 'standard library'}: {len(found)} functions; 50 are needed to compare with"
        )
    step = max(1, len(found) // limit)
    return found[::step][:limit]


def of_file(path: Path) -> Iterator[ast.Module]:
    """The file's functions and methods with three statements or more."""
    tree = syntax.parse(path.read_text(encoding="utf-8", errors="replace"))
    for node in tree.body if tree else ():
        for one in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(one, ast.FunctionDef) and len(one.body) >= 3:
                yield ast.Module(body=[one], type_ignores=[])
