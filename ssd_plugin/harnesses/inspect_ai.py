"""inspect_ai: logs, as `.eval` (a ZIP file of JSON members) and as `.json`."""

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssd_plugin.core.files import MOST_BYTES, open_input
from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import DataError, DependencyError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults, stated

NAME = "inspect_ai"
VERSIONS = ("0.3.",)
KEYS = frozenset({"version", "status", "eval", "plan", "results", "samples"})
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # as inspect_ai's own accuracy counts them
# Of a generation's config, what does not change what is generated.
_TRANSPORT = {"max_connections", "adaptive_connections", "max_retries", "timeout", "attempt_timeout", "batch", "cache"}
_ZSTANDARD = 93  # the ZIP format's number; Python's zipfile reads it from version 3.14 on
_LOCAL_HEADER = 30  # bytes before the name in a member's own header


def reads(path: Path) -> bool:
    """Whether it is a log in the packed form."""
    return path.suffix == ".eval"


def holds(document: object) -> bool:
    """Whether the JSON document is a log."""
    return isinstance(document, dict) and {"version", "status", "eval"} <= document.keys()


def read(path: Path) -> list[TaskResults]:
    """The one task of a packed log.

    Raises:
        DataError: it is no such file, or as `read_document`.
        DependencyError: it is packed with zstandard, which is not installed.
    """
    try:
        with open_input(path) as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise DataError(f"{path}: has no header.json, so the run did not end; run it again")
            header = json.loads(_member(archive, "header.json", path))
            samples = (json.loads(_member(archive, name, path)) for name in names if name.startswith("samples/"))
            return read_document(path, header, samples)
    except (zipfile.BadZipFile, ValueError, RecursionError, struct.error) as error:
        raise DataError(f"{path}: is not a readable log of {NAME} ({error})") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > MOST_BYTES:
        raise DataError(f"{path}: {name} is larger than {MOST_BYTES} bytes; no such file is that large")
    return archive.read(name) if info.compress_type != _ZSTANDARD else _unpacked(archive, info, path)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise DependencyError(
            f"{path}: is packed with zstandard: pip install zstandard, or write it as JSON (inspect log convert --to json)"
        ) from error
    stream: Any = archive.fp
    stream.seek(info.header_offset)
    name, extra = struct.unpack("<26xHH", stream.read(_LOCAL_HEADER))
    stream.seek(info.header_offset + _LOCAL_HEADER + name + extra)
    try:
        unpacked = zstandard.ZstdDecompressor().stream_reader(stream.read(info.compress_size))
        return unpacked.read(info.file_size)
    except zstandard.ZstdError as error:
        raise DataError(f"{path}: {info.filename} cannot be unpacked ({error})") from error


def read_document(path: Path, log: JsonObject, samples: Iterator[Any] | None = None) -> list[TaskResults]:
    """The one task of a log; `samples`: where they are not in the document itself.

    Raises:
        DataError: the run did not succeed, or the log has no samples or is malformed.
    """
    if log.get("status") != "success":
        raise DataError(
            f"{path}: the run ended with status {log.get('status')!r:.40}; only a run that succeeded counts"
        )
    ran: Any = log["eval"]
    given = samples if samples is not None else iter(log.get("samples") or ())
    grades = Grades(where=str(path))
    empty = True
    for sample in given:
        empty = False
        if not isinstance(sample, dict):
            raise DataError(f"{path}: a sample is no object; is it a log of {NAME}?")
        grades.add(
            sample.get("id"),
            sample.get("epoch", 1),
            scores=_scores(sample.get("scores")),
            prompt=[sample.get("input"), sample.get("choices"), sample.get("target")],
            answer=_answer(sample),
            columns=sample.get("metadata"),
        )
    if empty:
        raise DataError(f"{path}: has the figures of a run without its samples; give the log itself, not its header")
    try:
        conditions = _conditions(ran, log.get("plan") or {})
    except (AttributeError, TypeError) as error:
        raise DataError(f"{path}: is no log of {NAME} ({error})") from error
    return [
        TaskResults(
            harness=NAME, task=str(ran.get("task")), where=str(path), conditions=conditions, items=grades.items()
        )
    ]


def _conditions(ran: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, str]:
    config = (ran.get("model_generate_config") or {}) | (plan.get("config") or {})
    steps = [(step.get("solver"), step.get("params")) for step in plan.get("steps") or ()]
    scorers = [(scorer.get("name"), scorer.get("options")) for scorer in ran.get("scorers") or ()]
    return {
        VERSION: stated((ran.get("packages") or {}).get("inspect_ai")),
        TASK_VERSION: stated(ran.get("task_version")),
        DECODING: stated(
            {name: value for name, value in config.items() if name not in _TRANSPORT} or "the model's own"
        ),
        "solver": stated(steps),
        "scorers": stated(scorers),
        "task arguments": stated(ran.get("task_args")),
    }


def _scores(scores: Any) -> dict[str, object]:
    """By scorer; a scorer that gives several values has `scorer/name`."""
    found: dict[str, object] = {}
    for name, score in (scores if isinstance(scores, dict) else {}).items():
        value = score.get("value") if isinstance(score, dict) else None
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: _LETTERS.get(part) if isinstance(part, str) else part for key, part in parts.items()}
    return found


def _answer(sample: JsonObject) -> object:
    output: Any = sample.get("output")
    choices = output.get("choices") if isinstance(output, dict) else None
    told = [choice.get("message", {}).get("content") for choice in choices or () if isinstance(choice, dict)]
    return told or None
