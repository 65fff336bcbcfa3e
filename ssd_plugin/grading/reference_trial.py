"""What is tried before anything is graded: how a suite has to be run, whether it checks anything, whether a task is broken.

A suite runs apart from the program. Where it fails the task's reference there and passes it in one process with it, something
that it needs cannot leave the program's process: it is run beside all programs then (`AssertCheck.beside`).

Tasks of published benchmarks that are broken as published are set aside by id: the reference fails by the task's own suite
or gives no value for an input, or the suite passes wrong programs. A reference that is slow is not wrong, and one's own task
file is not published: what is broken there is a mistake to mend.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ssd_plugin.errors import DataError
from ssd_plugin.grading.judge import Judgement, judge, limits_for, patient
from ssd_plugin.grading.proof import lacks_proof
from ssd_plugin.grading.reference_values import fill, lacks_expected
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import AssertCheck, Status, Task

_TIMES_REFERENCE = 3.0  # what a planted program may use
_BROKEN = frozenset({Status.FAIL, Status.CRASH, Status.SYNTAX})


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The tasks that can be graded, with all their expected values, and by id: why others cannot, why some suites are not
    believed, and the judgements of the references that were run."""

    tasks: Sequence[Task]
    set_aside: Mapping[str, str]
    unproven: Mapping[str, str]
    references: Mapping[str, Judgement]


def suites_beside(tasks: Iterable[Task]) -> list[str]:
    """The tasks whose suites run in the program's own process, by id."""
    return [task.task_id for task in tasks if isinstance(task.check, AssertCheck) and task.check.beside]


@dataclass(frozen=True, kw_only=True)
class _Trial:
    task: Task
    broken: str = ""
    unproven: str = ""
    reference: Judgement | None = None


def tried(pool: Pool, tasks: Sequence[Task], limits: Limits) -> Tried:
    """Try the tasks that have a suite, or expected values to be found.

    Raises:
        DataError: a task that is not published has a reference that gives no values; or no task is left (the first reason).
        SandboxError: the sandbox failed.
    """
    jobs = [(task.task_id, partial(_try, task, limits)) for task in tasks if _needs_trial(task)]
    found = dict(pool.run(jobs))
    aside = {name: trial.broken for name, trial in sorted(found.items()) if trial.broken}
    kept = [found[task.task_id].task if task.task_id in found else task for task in tasks if task.task_id not in aside]
    if not kept:
        name, why = next(iter(aside.items()))
        raise DataError(f"all {len(aside)} tasks are broken here; {name!r}: {why}")
    return Tried(
        tasks=kept,
        set_aside=aside,
        unproven={name: trial.unproven for name, trial in found.items() if trial.unproven},
        references={name: trial.reference for name, trial in found.items() if trial.reference and not trial.broken},
    )


def _needs_trial(task: Task) -> bool:
    return isinstance(task.check, AssertCheck) or lacks_expected(task)


def _try(task: Task, limits: Limits, worker: Worker) -> _Trial:
    if lacks_expected(task):
        try:
            return _Trial(task=fill(task, limits, worker))
        except DataError as error:
            if not task.published:
                raise
            return _Trial(task=task, broken=str(error).partition(": ")[2])
    judged, room = None, limits_for(task, limits)
    if task.reference:
        task, judged = _with_reference(task, patient(room), worker)
        cpu = max(room.cpu_seconds, _TIMES_REFERENCE * judged.cpu)
        room = replace(room, cpu_seconds=cpu, wall_seconds=max(room.wall_seconds, 2 * cpu))
        if task.published and judged.status in _BROKEN:
            return _Trial(task=task, broken=f"its own reference fails ({judged.detail})")
    why = lacks_proof(task, room, worker)
    if why and task.published:
        return _Trial(task=task, broken=why)
    return _Trial(task=task, unproven=why, reference=judged)


def _with_reference(task: Task, limits: Limits, worker: Worker) -> tuple[Task, Judgement]:
    """The task with the way to run its suite, and what becomes of its reference there."""
    apart, check = judge(worker, task, task.reference, limits), task.check
    if apart.status not in _BROKEN or not isinstance(check, AssertCheck):
        return task, apart
    beside = replace(task, check=replace(check, beside=True))
    found = judge(worker, beside, task.reference, limits)
    return (beside, found) if found.status is Status.PASS or task.published else (task, apart)
