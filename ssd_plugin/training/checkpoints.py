"""What a training run keeps in its work directory: sealed checkpoints, the log, and which job they belong to."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import dumps, read_json, read_jsonl, write_json, write_jsonl
from ssd_plugin.core.run_layout import TRAINING_LOG_NAME
from ssd_plugin.errors import DataError
from ssd_plugin.models.weights import model_digest
from ssd_plugin.training.protocol import TrainSummary

JOB = "job.json"
SEAL = "sealed.json"
PREFIX = "checkpoint-"


def finished(work: Path, identity: str, output: Path) -> TrainSummary | None:
    """What a run that already ended had to say, if its output is still the one it wrote."""
    record = _record(work)
    if record.get("identity") != identity or "summary" not in record or not output.is_dir():
        return None
    return TrainSummary(**record["summary"]) if model_digest(output) == record["output"] else None


def finish(work: Path, identity: str, output: Path, summary: TrainSummary) -> None:
    """Record that the job is done; its checkpoints are of no more use."""
    write_json(work / JOB, {"identity": identity, "output": model_digest(output), "summary": asdict(summary)})
    for checkpoint in work.glob(f"{PREFIX}*"):
        shutil.rmtree(checkpoint)


def begin(work: Path, identity: str) -> Path | None:
    """Make the work directory ready for the job: returns the newest sealed checkpoint, None to start from the beginning.

    Unsealed checkpoints (the process died while writing them) are removed, and all that belongs to a job of another
    identity. The log is cut back to the checkpoint.
    """
    work.mkdir(parents=True, exist_ok=True)
    if _record(work) != {"identity": identity}:
        for checkpoint in work.glob(f"{PREFIX}*"):
            shutil.rmtree(checkpoint)
        (work / TRAINING_LOG_NAME).unlink(missing_ok=True)
        write_json(work / JOB, {"identity": identity})
    for checkpoint in work.glob(f"{PREFIX}*"):
        if not (checkpoint / SEAL).is_file():
            shutil.rmtree(checkpoint)
    newest = max(work.glob(f"{PREFIX}*"), key=step_of, default=None)
    cut_back(work / TRAINING_LOG_NAME, step_of(newest))
    return newest


def cut_back(file: Path, step: int) -> None:
    """Leave the rows of steps up to this one in a file to which every step appends."""
    write_jsonl(file, [row for row in _whole_rows(file) if row["step"] <= step])


def seal(work: Path, step: int) -> None:
    """Declare the checkpoint of `step` whole; only then are older ones removed."""
    newest = work / f"{PREFIX}{step}"
    write_json(newest / SEAL, {"step": step})
    for checkpoint in work.glob(f"{PREFIX}*"):
        if checkpoint != newest:
            shutil.rmtree(checkpoint)


def append_log(work: Path, row: dict[str, Any]) -> None:
    """Add the row of one step."""
    append_rows(work / TRAINING_LOG_NAME, [row])


def append_rows(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Add rows to a file of steps."""
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(dumps(row) + "\n" for row in rows)


def read_log(work: Path) -> list[dict[str, Any]]:
    """All rows, in order of their steps.

    Raises:
        DataError: the log is missing or damaged.
    """
    return [row for _, row in read_jsonl(work / TRAINING_LOG_NAME)]


def _whole_rows(log: Path) -> list[dict[str, Any]]:
    """The rows before the first damaged line: a killed process may leave half a row."""
    rows = []
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def _record(work: Path) -> dict[str, Any]:
    try:
        record = read_json(work / JOB)
    except DataError:
        return {}
    return record if isinstance(record, dict) else {}


def step_of(checkpoint: Path | None) -> int:
    """Steps done at a checkpoint; 0 for none."""
    return 0 if checkpoint is None else int(checkpoint.name.removeprefix(PREFIX))
