"""EvalPlus and BigCodeBench, which share a form: `NAME_eval_results.json`, the statuses of each task's samples."""

from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults, stated

NAME = "EvalPlus"
BIGCODEBENCH = "BigCodeBench"
KEYS = frozenset({"date", "hash", "eval"})


def holds(document: object) -> bool:
    """Whether the JSON document has the statuses of samples by task."""
    return isinstance(document, dict) and {"date", "eval"} <= document.keys() and isinstance(document["eval"], dict)


def summary(document: object) -> str:
    """What to give in the place of a document with figures only; empty for another."""
    if isinstance(document, dict) and any(str(key).startswith("pass@") for key in document):
        return f"has pass@k without its samples, as {BIGCODEBENCH} writes it; give NAME_eval_results.json beside it"
    return ""


def read_document(path: Path, document: JsonObject) -> list[TaskResults]:
    """Each benchmark in the file: `humaneval`, `mbpp` or `bigcodebench`, by the names of its tasks. Metrics: `base` and `plus` of
    EvalPlus, `pass` of BigCodeBench; each the share of a task's samples that pass.

    Raises:
        DataError: a sample is malformed, or there is none.
    """
    benchmarks: dict[str, Grades] = {}
    kinds: set[str] = set()
    for task, samples in document["eval"].items():
        grades = benchmarks.setdefault(task.partition("/")[0].lower(), Grades(where=str(path)))
        for number, sample in enumerate(samples if isinstance(samples, list) else ()):
            scores = _scores(sample)
            if not scores:
                raise DataError(f"{path}: sample {number} of {task!r:.80} has no status; is it a file of {NAME}?")
            kinds.add(BIGCODEBENCH if "pass" in scores else NAME)
            grades.add(task, number, scores=scores, answer=sample.get("solution"))
    if len(kinds) != 1:
        raise DataError(f"{path}: holds no graded items of {NAME} or {BIGCODEBENCH}, or of both")
    conditions = {VERSION: "", TASK_VERSION: stated(document.get("hash")), DECODING: ""}
    return [
        TaskResults(harness=next(iter(kinds)), task=name, where=str(path), conditions=conditions, items=grades.items())
        for name, grades in benchmarks.items()
    ]


def _scores(sample: Any) -> dict[str, object]:
    if not isinstance(sample, dict):
        return {}
    base, plus = sample.get("base_status"), sample.get("plus_status")
    if base is None:
        return {"pass": sample["status"] == "pass"} if isinstance(sample.get("status"), str) else {}
    scores: dict[str, object] = {"base": base == "pass"}
    return scores if plus is None else scores | {"plus": base == plus == "pass"}
