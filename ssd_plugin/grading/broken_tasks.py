"""Tasks of published benchmarks that are broken as published: set aside by id, each with what its own reference does.

Only what the reference shows by itself counts: it fails by the task's own suite, or gives no value for an input. A reference
that is slow is not wrong, and one's own task file is not published: there a reference that fails is an error to mend.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ssd_plugin.errors import DataError
from ssd_plugin.grading.judge import judge, limits_for
from ssd_plugin.grading.reference_values import fill, lacks_expected
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import AssertCheck, Status, Task

_PATIENCE = 5.0
_BROKEN = frozenset({Status.FAIL, Status.CRASH, Status.SYNTAX})


def usable(pool: Pool, tasks: Sequence[Task], limits: Limits) -> tuple[list[Task], dict[str, str]]:
    """The tasks that can be graded, with all their expected values, and by id why each other one cannot.

    Raises:
        DataError: a task that is not published has a reference that gives no values; or no task is left (the first reason).
        SandboxError: the sandbox failed.
    """
    tried = [task for task in tasks if _needs_trial(task)]
    found = dict(pool.run((task.task_id, partial(_tried, task, limits)) for task in tried))
    aside = {name: outcome for name, outcome in found.items() if isinstance(outcome, str)}
    kept = [found.get(task.task_id, task) for task in tasks if task.task_id not in aside]
    if not kept:
        name, why = next(iter(aside.items()))
        raise DataError(f"all {len(aside)} tasks are broken here; {name!r}: {why}")
    return [task for task in kept if isinstance(task, Task)], {n: aside[n] for n in sorted(aside)}


def _needs_trial(task: Task) -> bool:
    return lacks_expected(task) or (task.published and bool(task.reference) and isinstance(task.check, AssertCheck))


def _tried(task: Task, limits: Limits, worker: Worker) -> Task | str:
    if lacks_expected(task):
        try:
            return fill(task, limits, worker)
        except DataError as error:
            if not task.published:
                raise
            return str(error).partition(": ")[2]
    limits = limits_for(task, limits)
    patient = replace(limits, cpu_seconds=_PATIENCE * limits.cpu_seconds, wall_seconds=_PATIENCE * limits.wall_seconds)
    found = judge(worker, task, task.reference, patient)
    return f"its own reference fails ({found.detail})" if found.status in _BROKEN else task
