"""NeMo Evaluator: a bundle `eval-TIME-BENCHMARK.json` and the `results.jsonl` beside it."""

from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import JsonObject, read_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults, stated

NAME = "NeMo Evaluator"
VERSIONS = ("0.3.",)
KEYS = frozenset({"run_id", "config_hash", "sdk_version", "benchmark", "config", "n_results"})
_RESULTS = "results.jsonl"
_DECODING = ("temperature", "top_p", "max_tokens", "seed", "system_prompt")


def beside(path: Path) -> list[Path]:
    """The items of a bundle."""
    found = path.with_name(_RESULTS)
    return [found] if path.name.startswith("eval-") and path.suffix == ".json" and found.is_file() else []


def holds(document: object) -> bool:
    """Whether the JSON document is a bundle."""
    return isinstance(document, dict) and {"sdk_version", "benchmark", "config"} <= document.keys()


def read_document(path: Path, bundle: JsonObject) -> list[TaskResults]:
    """The one benchmark of the bundle. Metrics: `reward`, and each scorer's of its own.

    Raises:
        DataError: its items are not beside it, are fewer than it says, or are malformed.
    """
    results = path.with_name(_RESULTS)
    benchmark, config = bundle["benchmark"], bundle["config"]
    if not results.is_file():
        raise DataError(
            f"{path}: has the figures of a run without its items; copy {_RESULTS} beside it, or give the folder"
        )
    if not isinstance(benchmark, dict) or not isinstance(config, dict):
        raise DataError(f"{path}: is no bundle of {NAME}: benchmark and config are not both objects")
    grades, count = Grades(where=str(results)), 0
    for count, (_, row) in enumerate(read_jsonl(results), start=1):  # noqa: B007 - the last number is how many there are
        scorers: Any = row.get("scorer_rewards")
        grades.add(
            row.get("problem_idx"),
            row.get("repeat", 0),
            scores={"reward": row.get("reward")} | (scorers if isinstance(scorers, dict) else {}),
            prompt=[row.get("prompt"), row.get("expected_answer")],
            answer=row.get("model_response"),
            columns=row.get("metadata") if isinstance(row.get("metadata"), dict) else None,
        )
    if bundle.get("n_results") != count:
        raise DataError(f"{results}: holds {count} results, and {path.name} says {bundle.get('n_results')}")
    decoding = {name: config[name] for name in _DECODING if config.get(name) is not None}
    return [
        TaskResults(
            harness=NAME,
            task=str(benchmark.get("name")),
            where=str(path),
            conditions={VERSION: stated(bundle["sdk_version"]), TASK_VERSION: "", DECODING: stated(decoding or "")},
            items=grades.items(),
        )
    ]
