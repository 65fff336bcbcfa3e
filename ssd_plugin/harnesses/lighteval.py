"""lighteval: the folder of `--output-dir`, with `details_TASK_TIME.parquet` of `--save-details` and `results_TIME.json`."""

import re
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import JsonObject, read_json
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults, stated
from ssd_plugin.tasks.files import read_rows

NAME = "lighteval"
KEYS = frozenset({"config_general", "results", "versions", "config_tasks", "summary_tasks", "summary_general"})
_DETAILS = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.parquet")
_ASKED = ("query", "instruction", "choices", "gold_index", "fewshot_samples")


def beside(path: Path) -> list[Path]:
    """The run's results file where it was copied beside its details."""
    named = _DETAILS.fullmatch(path.name)
    found = path.with_name(f"results_{named['time']}.json") if named else path
    return [found] if found != path and found.is_file() else []


def reads(path: Path) -> bool:
    """Whether it is a file of details, by name."""
    return _DETAILS.fullmatch(path.name) is not None


def summary(document: object) -> str:
    """What to give in the place of a run's figures; empty for another document."""
    if isinstance(document, dict) and {"config_general", "summary_tasks"} <= document.keys():
        return f"has the figures of a run of {NAME} without its items; run it with --save-details and give the output folder"
    return ""


def read(path: Path) -> list[TaskResults]:
    """The one task of the file; its name ends in the number of few-shot examples, as in `aime24|0`.

    Raises:
        DataError: the results file of the run is not there, or a row is malformed (names it).
        DependencyError: pyarrow is not installed.
    """
    named = _DETAILS.fullmatch(path.name)
    if named is None:
        raise DataError(f"{path}: is not called details_TASK_TIME.parquet, as {NAME} calls it")
    run, task = read_json(_results_file(path, named["time"])), named["task"]
    try:
        config, told = run["config_general"]["model_config"], run["config_tasks"][task]
        sha = run["config_general"].get("lighteval_sha")
        conditions = {
            VERSION: "" if sha in (None, "?") else str(sha),
            TASK_VERSION: stated(told.get("version")),
            DECODING: _decoding(config, told),
            "system prompt": stated(config.get("system_prompt") or "none"),
            "chat template": stated(config.get("override_chat_template") or "the model's own"),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: its results file tells nothing of the task {task!r} ({error})") from error
    items = _grades(path).items()
    return [TaskResults(harness=NAME, task=task, where=str(path), conditions=conditions, items=items)]


def _results_file(path: Path, time: str) -> Path:
    """Beside the details, or where lighteval puts it: OUT/results/MODEL/..., the details in OUT/details/MODEL/TIME."""
    name = f"results_{time}.json"
    details = (folder for folder in path.parents if folder.name == "details")
    own = [folder.parent / "results" / path.parents[1].relative_to(folder) / name for folder in details]
    places = [path.with_name(name), *own]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(f"{path}: {name}, which says what ran, is not there; give the whole folder of --output-dir")
    return found


def _decoding(config: JsonObject, task: JsonObject) -> str:
    own: Any = config.get("generation_parameters") or {}
    drawn = {name: value for name, value in own.items() if value is not None}
    limits = {name: task.get(name) for name in ("generation_size", "stop_sequence")}
    return stated(drawn | limits | {"max_length": config.get("max_length")})


def _grades(path: Path) -> Grades:
    grades = Grades(where=str(path))
    for number, row in read_rows(path, ("doc", "metric", "model_response")):
        doc, metric, response = row["doc"], row["metric"], row["model_response"]
        if not all(isinstance(part, dict) for part in (doc, metric, response)):
            raise DataError(f"{path}:{number}: doc, metric and model_response are not all there")
        columns: dict[str, object] = doc | (doc.get("specific") if isinstance(doc.get("specific"), dict) else {})
        grades.add(
            doc.get("id"),
            scores=metric,
            prompt=[response.get("input_tokens"), *(doc.get(name) for name in _ASKED)],
            answer=[response.get("text"), response.get("logprobs")],
            columns=columns,
        )
    return grades
