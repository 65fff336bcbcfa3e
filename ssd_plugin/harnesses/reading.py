"""Finds out which harness wrote a file or folder, and reads it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from ssd_plugin.core.jsonl import read_json
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses import lm_eval, plain
from ssd_plugin.harnesses.results import VERSION, TaskResults

_READERS: tuple[ModuleType, ...] = (lm_eval, plain)
KNOWN = ("lm-evaluation-harness", "the plain form (JSON lines or CSV)")
_SUFFIXES = (".jsonl", ".json", ".csv")
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
    readers = {path: reader for path in files if (reader := _reader_of(path))}
    if not readers:
        raise DataError(_refusal(files))
    return _require_known_versions(found for path, reader in readers.items() for found in reader.read(path))


def _reader_of(path: Path) -> ModuleType | None:
    return next((reader for reader in _READERS if reader.reads(path)), None)


def _require_known_versions(results: Iterable[TaskResults]) -> list[TaskResults]:
    known = {reader.NAME: reader.VERSIONS for reader in _READERS if hasattr(reader, "VERSIONS")}
    found = list(results)
    for one in found:
        version, starts = one.conditions[VERSION], known.get(one.harness, ("",))
        if version and not version.startswith(starts):
            nearest = ", ".join(f"{start}x" for start in starts)
            raise DataError(
                f"{one.where}: was written by {one.harness} {version}, whose files are not known here; known: {nearest}; "
                "write the items in the plain form instead"
            )
    return found


def _refusal(files: Sequence[Path]) -> str:
    """Why no file can be read: a summary without items has its own answer."""
    first = files[0]
    for path in files:
        if path.suffix == ".json" and lm_eval.is_aggregate(read_json(path)):
            return (
                f"{path}: has the figures of a run of {lm_eval.NAME} without its items; run it with --log_samples and give "
                "samples_TASK_TIME.jsonl, or the folder"
            )
    return f"{first}: is not a results file of a harness that is known here; known: {'; '.join(KNOWN)}"
