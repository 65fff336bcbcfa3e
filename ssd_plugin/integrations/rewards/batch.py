"""Rewards of completions: 1 for a program that passes all tests of its task, else 0; or the share of cases that it passes.

The grader behind them is started at the first call, after its canaries, and kept until the process ends or `close`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ssd_plugin.errors import DataError, SandboxError
from ssd_plugin.grading.in_memory import GradeOptions, Grader, Judged
from ssd_plugin.tasks.benchmarks import load_tasks
from ssd_plugin.tasks.published import recognise
from ssd_plugin.tasks.schema import Sample, Status, Task, task_from_json

Tasks = str | os.PathLike[str] | Iterable[Task | Mapping[str, Any]]
"""A task file, or tasks, or rows of task files."""


def reward_options(workers: int = 0) -> GradeOptions:
    """How rewards are graded. `workers`: programs at a time; 0: the cores, shared between the ranks of this machine.

    Raises:
        DataError: `workers` is negative.
    """
    if workers < 0:
        raise DataError(f"workers must be a whole number from 0, is {workers}")
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    return GradeOptions(workers=workers or max(1, len(os.sched_getaffinity(0)) // ranks), retry_alone=False)


class Rewards:
    """Rewards by task id. Threads may share one, and every process that gets one has sandboxes of its own.

    `partial`: the share of cases passed, 0 to 1, instead of 0 or 1. `thinking`: prompts end inside a thought, so completions
    begin in it.
    """

    def __init__(
        self, tasks: Tasks, *, partial: bool = False, thinking: bool = False, options: GradeOptions | None = None
    ) -> None:
        """Nothing is started yet.

        Raises:
            DataError: malformed tasks, one without tests among them, or none.
        """
        read = read_tasks_of(tasks)
        if not read:
            raise DataError("no tasks: a reward needs tasks with tests")
        self._grader = Grader(read, options or reward_options(), every_case=partial)
        self._partial, self._thinking = partial, thinking

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandboxes; the next call starts others."""
        self._grader.close()

    def judged(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Judged]:
        """What became of each completion, in their order.

        Raises:
            DataError: lengths differ, a completion is not text, or a task is unknown or cannot be graded.
            SandboxError: no sandbox that can be trusted, or it failed.
        """
        return judge_all(self._grader, task_ids, completions, thinking=self._thinking)

    def __call__(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[float]:
        """The rewards, in the completions' order. Raises as `judged`."""
        return [self.of(judged) for judged in self.judged(task_ids, completions)]

    def of(self, judged: Judged) -> float:
        """The reward of one judgement."""
        return judged.judgement.share if self._partial else float(judged.judgement.status is Status.PASS)


def reward(
    tasks: Sequence[Task | Mapping[str, Any]],
    completions: Sequence[str],
    *,
    partial: bool = False,
    options: GradeOptions | None = None,
) -> list[float]:
    """One reward for each completion; `tasks` holds the task of each. Calls share one grader for each way of asking.

    Raises:
        DataError: lengths differ, a completion is not text, a task has no tests or cannot be graded.
        SandboxError: no sandbox that can be trusted, or it failed.
    """
    own = read_tasks_of(tasks)
    grader = _shared(partial, options or reward_options())
    grader.add(own)
    found = judge_all(grader, [task.task_id for task in own], completions, thinking=False)
    return [judged.judgement.share if partial else float(judged.judgement.status is Status.PASS) for judged in found]


_SHARED: dict[tuple[bool, GradeOptions], Grader] = {}


def _shared(partial: bool, options: GradeOptions) -> Grader:
    """One for all threads: of two that come first together, one's is used and the other's was never started."""
    key = (partial, options)
    return _SHARED.get(key) or _SHARED.setdefault(key, Grader((), options, every_case=partial))


def read_tasks_of(tasks: Tasks) -> list[Task]:
    """The tasks of a file, or given as such, or as rows.

    Raises:
        DataError: malformed (says which file and line, or which row).
    """
    if isinstance(tasks, str | os.PathLike):
        return load_tasks(Path(tasks))
    return [task if isinstance(task, Task) else _task_of(task, f"task {at}") for at, task in enumerate(tasks)]


def _task_of(row: Mapping[str, Any], where: str) -> Task:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: must be a Task or a row of a task file, is a {type(row).__name__}")
    return (recognise(dict(row), where) or task_from_json)(dict(row), where)


def judge_all(grader: Grader, task_ids: Sequence[str], completions: Sequence[str], *, thinking: bool) -> list[Judged]:
    """Each completion's judgement, in their order. Raises as `Rewards.judged`."""
    if len(task_ids) != len(completions):
        raise DataError(f"{len(task_ids)} tasks but {len(completions)} completions; give one task for each")
    for at, completion in enumerate(completions):
        if not isinstance(completion, str):
            raise DataError(f"completion {at} must be text, is a {type(completion).__name__}")
    samples = (
        Sample(task_id=name, sample_id=str(at), completion=completion, thinking=thinking)
        for at, (name, completion) in enumerate(zip(task_ids, completions, strict=True))
    )
    found: list[Judged | None] = [None] * len(completions)
    for judged in grader.grade(samples):
        if judged.judgement.status is Status.INFRA:
            raise DataError(
                f"task {judged.sample.task_id!r} cannot be graded ({judged.judgement.detail}); leave it out"
            )
        found[judged.number] = judged
    whole = [judged for judged in found if judged]
    if len(whole) != len(completions):
        raise SandboxError(f"{len(whole)} of {len(completions)} completions were graded")
    return whole
