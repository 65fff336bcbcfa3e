"""Stage `prompts`: the three sets of tasks, and the base model they are meant for, fixed by digest."""

from collections.abc import Iterator

from ssd_plugin.config import DataConfig, RunConfig
from ssd_plugin.data.sources import load_tasks
from ssd_plugin.errors import DataError
from ssd_plugin.jsonl import JsonObject, write_json, write_jsonl
from ssd_plugin.records import Task
from ssd_plugin.rundir import RunDir
from ssd_plugin.stages import StageReport
from ssd_plugin.weights import resolve


def _write(run: RunDir, name: str, data: DataConfig, graded: bool) -> int:
    """Stream one set of tasks into the run; ids are unique and graded tasks have tests."""
    seen: set[str] = set()

    def rows() -> Iterator[JsonObject]:
        for task in load_tasks(data):
            _admit(task, seen, data.source, graded)
            yield task.to_json()

    count = write_jsonl(run / f"prompts/{name}.jsonl", rows())
    if count == 0:
        (run / f"prompts/{name}.jsonl").unlink()
        raise DataError(f"{data.source}: holds no tasks for the {name} split; name another source")
    return count


def _admit(task: Task, seen: set[str], source: str, graded: bool) -> None:
    if task.task_id in seen:
        raise DataError(f"{source}: task_id {task.task_id!r} appears twice")
    if graded and task.check is None:
        raise DataError(f"{source}: task {task.task_id!r} has no tests, so it cannot judge a model")
    seen.add(task.task_id)


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write prompts/{train,dev,heldout}.jsonl and prompts/model.json.

    Raises:
        DataError, ModelError: a source or the model cannot be had.
    """
    model = resolve(config.model.ref, config.model.revision)
    counts = {
        "train": _write(run, "train", config.prompts, graded=False),
        "dev": _write(run, "dev", config.select.data, graded=True),
        "heldout": _write(run, "heldout", config.evaluate.data, graded=True),
    }
    write_json(
        run / "prompts/model.json", {"ref": config.model.ref, "revision": config.model.revision, "digest": model.digest}
    )
    summary = f"{counts['train']} training prompts, {counts['dev']} development and {counts['heldout']} held-out tasks"
    return StageReport(summary=summary, facts={"tasks": counts, "model": model.digest})
