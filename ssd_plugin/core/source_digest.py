"""The version of the code behind a result: a digest of the source files that a module can reach by its own imports."""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def _source(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@functools.cache
def _imports(file: Path) -> frozenset[str]:
    """Project modules that a file names in any import statement, at the top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] == PACKAGE.name)


@functools.cache
def source_files(module: str) -> tuple[Path, ...]:
    """The files of the project that `module` reaches, itself included, in a fixed order."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _source(name)
        if file is not None and name not in found:
            found[name] = file
            waiting.extend(_imports(file))
    return tuple(file for _, file in sorted(found.items()))


def code_digest(module: str) -> str:
    """Hex SHA-256 over those files: it changes when, and only when, code that `module` can run has changed."""
    digest = hashlib.sha256()
    for file in source_files(module):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
