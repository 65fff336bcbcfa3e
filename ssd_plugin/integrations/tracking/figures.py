"""What a tracker gets of a run directory: the report's own facts, as flat names and numbers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json
from ssd_plugin.errors import DataError
from ssd_plugin.integrations.tracking.tracker import TrackedRun
from ssd_plugin.report.document import build_document

CURVES = ("loss", "lr", "grad_norm")
SETTING = "report.trackers"  # not told: one tracker more is no other run


def tracked_run(run_dir: Path, name: str, tracker: str) -> TrackedRun:
    """A finished run as `tracker` gets it.

    Raises:
        DataError: the run's verdict or report is not there or cannot be read.
    """
    document = build_document(run_dir)
    for part in ("run", "verdict", "evaluation", "training"):
        if document[part] is None:
            raise DataError(f"{run_dir}: nothing to send, {part} is {document['missing'][part]}")
    files = [run_dir / part for part in (layout.REPORT_HTML, layout.REPORT_MARKDOWN, layout.VERDICT)]
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise DataError(f"{', '.join(absent)}: missing; make it with: ssd report --run-dir {run_dir}")
    return TrackedRun(
        name=name,
        settings={key: value for key, value in _flat(read_json(run_dir / layout.CONFIG), "") if key != SETTING},
        tags=_tags(document),
        curves={f"train/{key}": [(int(row["step"]), row[key]) for row in document["training"]] for key in CURVES},
        figures=dict(_figures(document)),
        summary=(run_dir / layout.REPORT_MARKDOWN).read_text(encoding="utf-8"),
        files=files,
        folder=run_dir / layout.tracker_folder(tracker),
    )


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str | int | float | bool]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, ",".join(map(str, value)) if isinstance(value, list) else value


def _tags(document: JsonObject) -> dict[str, str]:
    verdict = document["verdict"]
    gates = {f"gate.{row['result']['gate']}": str(row["result"]["status"]) for row in verdict["gates"]}
    return {"verdict": verdict["outcome"], "reason": verdict["reason"], "policy": verdict["policy"]["name"], **gates}


def _figures(document: JsonObject) -> Iterator[tuple[str, float]]:
    """The evaluation table (sides and differences, intervals over tasks), what was trained on, and seconds per stage."""
    evaluation = document["evaluation"]
    for row in evaluation["sides"]:
        yield f"held_out/{row['side']}/truncated", row["truncated"]
        yield from _pass_at(f"held_out/{row['side']}", row["pass_at"])
    for row in evaluation["deltas"]:
        yield from _pass_at(f"held_out/{row['pair']}", row["pass_at"])
    if document["selection"]:
        yield "select/t_eval", document["selection"]["candidate"]["temperature"]
    if document["filter"]:
        yield "filter/kept", document["filter"]["kept"]
        yield "filter/total", document["filter"]["total"]
    for stage in document["stages"] or []:
        yield f"seconds/{stage['name']}", stage["seconds"]


def _pass_at(prefix: str, intervals: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float]]:
    for k, interval in intervals.items():
        yield f"{prefix}/pass_at_{k}", interval["estimate"]
        for bound in ("low", "high"):
            if bound in interval:
                yield f"{prefix}/pass_at_{k}/{bound}", interval[bound]
