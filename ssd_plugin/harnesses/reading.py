"""Finds out which harness wrote a file or folder, and reads it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from ssd_plugin.core.jsonl import read_json, read_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses import evalplus, inspect_ai, lighteval, livecodebench, lm_eval, nemo_evaluator, plain
from ssd_plugin.harnesses.results import VERSION, TaskResults

_FILES: tuple[ModuleType, ...] = (lm_eval, lighteval, inspect_ai, plain)  # told by their names or first rows
_DOCUMENTS: tuple[ModuleType, ...] = (inspect_ai, evalplus, livecodebench, nemo_evaluator)  # told by what is in them
_READERS = tuple(dict.fromkeys((*_FILES, *_DOCUMENTS)))
KNOWN = (*(reader.NAME for reader in _READERS if reader is not plain), evalplus.BIGCODEBENCH, plain.NAME)
_SUFFIXES = (".jsonl", ".json", ".csv", ".eval", ".parquet")
_MOST_FILES = 10_000


def files_of(path: Path) -> list[Path]:
    """What has to be read of a file or folder that a user names: it and what lies beside it, or all that may be results in it.

    Raises:
        DataError: there is nothing, or too much.
    """
    if not path.is_dir():
        return [path, *(other for reader in _READERS if hasattr(reader, "beside") for other in reader.beside(path))]
    found = [file for file in sorted(path.rglob("*")) if file.suffix in _SUFFIXES and file.is_file()]
    if not 0 < len(found) <= _MOST_FILES:
        raise DataError(f"{path}: has {len(found)} files that may be results; name the folder of one run of a harness")
    return found


def read_results(files: Sequence[Path]) -> list[TaskResults]:
    """Every task in the files. Files in them that hold no graded items are passed over if others do.

    Raises:
        DataError: none of them is a file of graded items of a known harness, or one is malformed.
        DependencyError: a package that reads such a file is not installed.
    """
    found = [one for path in files for one in _read(path)]
    if not found:
        raise DataError(_refusal(files))
    _require_known_versions(found)
    return found


def _read(path: Path) -> list[TaskResults]:
    """Nothing of a file that no harness wrote."""
    if path.suffix == ".json":
        document = read_json(path)
        by_content = next((reader for reader in _DOCUMENTS if reader.holds(document)), None)
        return list(by_content.read_document(path, document)) if by_content else []
    reader = next((reader for reader in _FILES if reader.reads(path)), None)
    return list(reader.read(path)) if reader else []


def _require_known_versions(results: Iterable[TaskResults]) -> None:
    known = {reader.NAME: reader.VERSIONS for reader in _READERS if hasattr(reader, "VERSIONS")}
    for one in results:
        version, starts = one.conditions[VERSION], known.get(one.harness, ("",))
        if version and not version.startswith(starts):
            nearest = ", ".join(f"{start}x" for start in starts)
            raise DataError(
                f"{one.where}: was written by {one.harness} {version}, whose files are not known here; known: {nearest}; "
                "write the items in the plain form instead"
            )


def _refusal(files: Sequence[Path]) -> str:
    """Why no file can be read: a summary without items has its own answer."""
    for path in files:
        document = read_json(path) if path.suffix == ".json" else None
        for reader in _READERS:
            if hasattr(reader, "summary") and (hint := reader.summary(document)):
                return f"{path}: {hint}"
    nearest = _nearest(files[0])
    told = f"; nearest to it is {nearest}" if nearest else ""
    return f"{files[0]}: is not a results file of a harness that is known here{told}; known: {', '.join(KNOWN)}"


def _nearest(path: Path) -> str:
    """The harness whose files share most keys with this one; empty where none shares any."""
    document = read_json(path) if path.suffix == ".json" else next((row for _, row in _rows(path)), None)
    first = document[0] if isinstance(document, list) and document else document
    keys = first.keys() if isinstance(first, dict) else set()
    shared = {reader.NAME: len(reader.KEYS & keys) for reader in _READERS}
    best = max(shared, key=lambda name: shared[name])
    return best if shared[best] else ""


def _rows(path: Path) -> Iterable[tuple[int, object]]:
    return read_jsonl(path) if path.suffix == ".jsonl" else ()
