"""lm-evaluation-harness: `samples_TASK_TIME.jsonl` of `--log_samples`, beside `results_TIME.json`, which has the versions."""

import re
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import JsonObject, read_json, read_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults, stated

NAME = "lm-evaluation-harness"
VERSIONS = ("0.4.",)
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
KEYS = frozenset({"doc_id", "doc", "target", "arguments", "resps", "filtered_resps"})
# What is not a metric in a row. Rows of older versions do not list their metrics.
_KNOWN = KEYS | {"filter", "metrics", "doc_hash", "prompt_hash", "target_hash"}


def beside(path: Path) -> list[Path]:
    """The file with the versions of the run that wrote this one."""
    named = _SAMPLES.fullmatch(path.name)
    found = path.with_name(f"results_{named['time']}.json") if named else path
    return [found] if found != path and found.is_file() else []


def reads(path: Path) -> bool:
    """Whether it is a file of samples, by name."""
    return _SAMPLES.fullmatch(path.name) is not None


def summary(document: object) -> str:
    """What to give in the place of a run's figures; empty for another document."""
    if isinstance(document, dict) and {"results", "configs", "versions", "n-shot"} <= document.keys():
        return (
            f"has the figures of a run of {NAME} without its items; run it with --log_samples and give "
            "samples_TASK_TIME.jsonl, or the folder"
        )
    return ""


def read(path: Path) -> list[TaskResults]:
    """The one task of the file.

    Raises:
        DataError: the run's results file is not beside it or lacks the task, or a row is malformed (names the line).
    """
    named = _SAMPLES.fullmatch(path.name)
    run_file = next(iter(beside(path)), None)
    if named is None or run_file is None:
        name = f"results_{named['time']}.json" if named else "results_TIME.json"
        raise DataError(f"{path}: {name} does not lie beside it; it says what ran, copy it there")
    run, task = read_json(run_file), named["task"]
    if not isinstance(run, dict) or task not in run.get("versions", {}):
        raise DataError(f"{run_file}: is no results file of a run that has the task {task!r}")
    grades, decoding = _grades(path)
    return [
        TaskResults(
            harness=NAME,
            task=task,
            where=str(path),
            conditions={
                VERSION: stated(run.get("lm_eval_version")),
                TASK_VERSION: stated(run["versions"][task]),
                DECODING: decoding,
                "number of few-shot examples": stated(run.get("n-shot", {}).get(task)),
                "chat template": stated(run.get("chat_template_sha") or "none"),
                "system instruction": stated(run.get("system_instruction_sha") or "none"),
            },
            items=grades.items(),
        )
    ]


def _grades(path: Path) -> tuple[Grades, str]:
    """Items and the decoding config. A row stands for an item and one filter of its answer."""
    rows: dict[object, JsonObject] = {}
    scores: dict[object, dict[str, object]] = {}
    filters: set[tuple[object, str]] = set()
    for number, row in read_jsonl(path):
        item, filtered = row.get("doc_id"), str(row.get("filter", "none"))
        if not isinstance(item, str | int) or not isinstance(row.get("arguments"), dict):
            raise DataError(f"{path}:{number}: has no doc_id or arguments; is it a file of --log_samples?")
        if (item, filtered) in filters:
            raise DataError(f"{path}:{number}: item {item!r}, filter {filtered!r}, stands there twice")
        filters.add((item, filtered))
        rows.setdefault(item, row)
        found = {f"{name},{filtered}": value for name, value in row.items() if name not in _KNOWN}
        scores.setdefault(item, {}).update(found)
    grades = Grades(where=str(path))
    for item, row in rows.items():
        document: Any = row.get("doc")
        grades.add(
            item,
            scores=scores[item],
            prompt=[row["arguments"], row.get("doc_hash"), row.get("target_hash")],
            answer=row.get("resps"),
            columns=document if isinstance(document, dict) else None,
        )
    return grades, _decoding(next(iter(rows.values()), {}))


def _decoding(row: JsonObject) -> str:
    """How answers were drawn; a multiple choice is scored by likelihood and draws none."""
    request: Any = next(iter(row.get("arguments", {}).values()), {})
    asked = request.get("arg_1") if isinstance(request, dict) else None
    return stated(asked) if isinstance(asked, dict) else "by likelihood"
