"""Stage `prompts`: the three sets of tasks, and the base model they are meant for, fixed by digest."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ssd_plugin.config.schema import DataConfig, RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import write_json, write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.models.weights import resolve
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.sampling.tokenizer import require_agreement
from ssd_plugin.tasks.overlap import NgramIndex, own_wording
from ssd_plugin.tasks.schema import Task, iter_tasks
from ssd_plugin.tasks.sources import load_tasks

WORDS = 10
"""In a row that a training prompt may not share with a task that judges; a shorter task may not stand in it whole."""

TEMPLATE_SHARE = 0.01
"""Wording that at least this share of the judging tasks, and three of them, have in common is no task's own."""


def _graded(path: Path, data: DataConfig) -> int:
    """Stream a graded split into the run: unique ids, every task with tests."""
    return write_jsonl(path, (task.to_json() for task in _tested(data)))


def _tested(data: DataConfig) -> Iterator[Task]:
    for task in _unique(data):
        if task.check is None:
            raise DataError(f"{data.source}: task {task.task_id!r} has no tests, so it cannot judge a model")
        yield task


def _unique(data: DataConfig) -> Iterator[Task]:
    seen: set[str] = set()
    for task in load_tasks(data):
        if task.task_id in seen:
            raise DataError(f"{data.source}: task_id {task.task_id!r} appears twice")
        seen.add(task.task_id)
        yield task


class Untainted:
    """Training prompts that share no ten words in a row, and no whole shorter prompt, with a task that will judge the model;
    counts the others. Words that many of those tasks have in common (how a contest gives its input) are no task's own, and do
    not count."""

    def __init__(self, run: RunDir) -> None:
        """Index the graded splits of the run."""
        prompts: dict[str, str] = {}
        references: list[str] = []
        for name in (layout.DEV_TASKS, layout.HELD_OUT_TASKS):
            for task in iter_tasks(run / name):
                prompts[f"{name}/{task.task_id}"] = task.prompt
                references += [task.reference] if task.reference else []
        own = own_wording(prompts, WORDS, TEMPLATE_SHARE).values()
        self._index = NgramIndex(chain(chain.from_iterable(own), references), WORDS)
        self.left_out = 0

    def of(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """The tasks that stay, in order."""
        for task in tasks:
            if self._index.first_shared(task.prompt):
                self.left_out += 1
            else:
                yield task


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write prompts/{train,dev,heldout}.jsonl and prompts/model.json.

    Raises:
        DataError, ModelError: a source or the model cannot be had.
        DependencyError: the interpreters of sampling and training do not read the model's tokens alike.
    """
    model = resolve(config.model.ref, config.model.revision)
    require_agreement(model.path, sample=config.python.sample, train=config.python.train)
    counts = {
        "dev": _graded(run / layout.DEV_TASKS, config.select.data),
        "heldout": _graded(run / layout.HELD_OUT_TASKS, config.evaluate.data),
    }
    untainted = Untainted(run)
    rows = (task.to_json() for task in untainted.of(_unique(config.prompts)))
    counts["train"] = write_jsonl(run / layout.TRAIN_PROMPTS, rows)
    if counts["train"] == 0:
        raise DataError(f"{config.prompts.source}: every prompt overlaps an evaluation task; name another source")
    write_json(
        run / layout.BASE_MODEL, {"ref": config.model.ref, "revision": config.model.revision, "digest": model.digest}
    )
    overlap = (
        f" ({untainted.left_out} left out: ten words in a row, or all, of an evaluation task)"
        if untainted.left_out
        else ""
    )
    graded = f"{counts['dev']} development and {counts['heldout']} held-out tasks"
    return StageReport(
        summary=f"{counts['train']} training prompts{overlap}, {graded}",
        facts={"tasks": counts, "left_out": untainted.left_out, "model": model.digest},
    )
