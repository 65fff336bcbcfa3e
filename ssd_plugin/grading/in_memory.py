"""`Grader`: samples in, judgements out, with one pool of sandboxes that lives from batch to batch.

One worker a core, each with a zygote of its own. Nothing is graded before all canaries were judged rightly. A program that
ran out of time is tried once more at the end, alone, with a CPU limit calibrated on the task's reference, before the timeout
counts.
"""

import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ssd_plugin.errors import DataError
from ssd_plugin.grading.canaries import run_canaries
from ssd_plugin.grading.feedback import Feedback, FeedbackKind
from ssd_plugin.grading.judge import Asked, Judgement, judge, limits_for, patient, slowest_reference
from ssd_plugin.grading.preload import imported, worth_loading
from ssd_plugin.grading.public_cases import public_part
from ssd_plugin.grading.reference_trial import tried
from ssd_plugin.grading.refusals import check_forms, check_prelude
from ssd_plugin.grading.rows import program_of
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.tiers import SandboxTier, choose
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import FunctionCheck, Sample, Status, Task

_INCOMPLETE = (FeedbackKind.NO_CODE, FeedbackKind.SYNTAX, FeedbackKind.MISSING)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class GradeOptions:
    """`tier`: None takes the strongest boundary that works. `cpu_multiple`: a program may use this many times its
    reference's CPU time, and never less than `limits.cpu_seconds`. `retry_alone`: False tries a program that ran out of time
    again only where its task's reference is slow itself, and beside others. `progress` is called after each sample of a
    file."""

    tier: SandboxTier | None = None
    workers: int = field(default_factory=_cores)
    limits: Limits = field(default_factory=Limits)
    cpu_multiple: float = 10.0
    retry_alone: bool = True
    progress: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A sample, its place among those that were given (from 0), the program in it (empty: none) and what became of it."""

    number: int
    sample: Sample
    program: str
    judgement: Judgement


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The workers, and what they passed before anything was graded."""

    pool: Pool
    tier: SandboxTier
    notes: tuple[str, ...]
    canaries: int


class Grader:
    """Grades samples of known tasks in the sandbox. Use as a context manager, or `close` it.

        with Grader(tasks) as grader:
            for judged in grader.grade(samples):
                print(judged.sample.sample_id, judged.judgement.status)

    Threads may share one: each call of `grade` gets its own judgements. A process that is forked off, or gets one pickled,
    starts sandboxes of its own when it first grades.

    `tasks`: those that can be graded, by id. `set_aside`: why tasks of a published benchmark are broken; `unproven`: why suites
    are not believed; their samples are judged `infra`. `left_out`: which tasks lost inputs. All of them once it is open.
    """

    def __init__(
        self,
        tasks: Iterable[Task] = (),
        options: GradeOptions | None = None,
        *,
        feedback: bool = False,
        every_case: bool = False,
        source: object = "tasks",
    ) -> None:
        """Nothing is started yet. `feedback`: judgements quote public cases, for a second run of each program that fails.
        `every_case`: `Judgement.share` counts all cases. `source` begins messages about the tasks.

        Raises:
            DataError: as `add`.
        """
        self.options = options or GradeOptions()
        self._asked, self._feedback, self._source = Asked(every_case=every_case), feedback, source
        self._lock = threading.RLock()
        self._given: dict[str, Task] = {}
        self._end: weakref.finalize[[], Grader] | None = None
        self._boundary: Boundary | None = None
        self._calibrated: dict[str, Limits] = {}
        self._public: dict[str, Task] = {}
        self.tasks: dict[str, Task] = {}
        self.set_aside: dict[str, str] = {}
        self.unproven: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.add(tasks)
        _alive.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "given": list(self._given.values()),
            "options": self.options,
            "feedback": self._feedback,
            "every_case": self._asked.every_case,
            "source": self._source,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        tasks, options = state.pop("given"), state.pop("options")
        Grader.__init__(self, tasks, options, **state)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandboxes; what another thread still has graded ends with a SandboxError."""
        with self._lock:
            end, self._end, self._boundary = self._end, None, None
        if end:
            end()

    def forget(self) -> None:
        """In the child of a fork, where a thread of the parent may hold the lock for ever: leave the sandboxes to the parent."""
        self._lock = threading.RLock()
        if self._boundary and self._end:
            self._end.detach()
            self._boundary.pool.forget()
        self._end = self._boundary = None

    def open(self) -> Boundary:
        """Start the sandboxes, if they are not running, judge the canaries, and make the tasks ready.

        Raises:
            SandboxError: no sandbox works here, or a canary was misjudged.
            DataError: a task's reference gives no values, or no task can be graded.
        """
        with self._lock:
            if self._boundary is None:
                chosen, tasks = choose(self.options.tier), list(self._given.values())
                with ExitStack() as stack:
                    pool = stack.enter_context(pool_for(chosen.tier, tasks, self.options))
                    canaries = run_canaries(pool, chosen.tier)
                    self._make_ready(pool, tasks)
                    # Also where nobody closes it: when it is garbage, and when the process ends.
                    self._end = weakref.finalize(self, stack.pop_all().close)
                self._boundary = Boundary(pool=pool, tier=chosen.tier, notes=tuple(chosen.notes), canaries=canaries)
            return self._boundary

    def add(self, tasks: Iterable[Task]) -> None:
        """Know these tasks too; those that are known already are left as they are.

        Raises:
            DataError: one without tests, or not usable; another task has the same id.
            SandboxError: (once open) the sandbox failed.
        """
        with self._lock:
            fresh: dict[str, Task] = {}
            for task in tasks:
                known = fresh.get(task.task_id) or self._given.get(task.task_id)
                if known is None:
                    fresh[task.task_id] = self._checked(task)
                elif known is not task and known != task:
                    raise DataError(f"{self._source}: two different tasks have the id {task.task_id!r}")
            if self._boundary:
                self._make_ready(self._boundary.pool, list(fresh.values()))
            self._given |= fresh

    def _checked(self, task: Task) -> Task:
        if task.check is None:
            raise DataError(
                f"{self._source}: task {task.task_id!r} has no tests (kind, inputs and expected); it cannot be graded"
            )
        check_forms(task, self._source)
        check_prelude(task, self._source)
        return task

    def _make_ready(self, pool: Pool, tasks: list[Task]) -> None:
        if not tasks:
            return
        trial = tried(pool, tasks, self.options.limits)
        self.unproven |= trial.unproven
        self.left_out |= _left_out(self._given | {task.task_id: task for task in tasks}, trial.tasks)
        if self._feedback:
            own = patient(self.options.limits)
            self._public |= dict(
                pool.run((task.task_id, functools.partial(public_part, task, own)) for task in trial.tasks)
            )
        self.set_aside |= trial.set_aside
        self.tasks |= {task.task_id: task for task in trial.tasks}

    def grade(self, samples: Iterable[Sample]) -> Iterator[Judged]:
        """Judge each sample, in the order in which they are done; `samples` is read only as fast as they are.

        Raises:
            DataError: a sample's task is not known.
            SandboxError: the sandbox failed.
        """
        late: list[Judged] = []
        for judged in self.first_tries(enumerate(samples)):
            if judged.judgement.again:
                late.append(judged)
            else:
                yield judged
        if self.options.retry_alone:
            yield from (self.last_try(judged.number, judged.sample) for judged in late)
        else:
            yield from self._tried_again(late)

    def first_tries(self, numbered: Iterable[tuple[int, Sample]]) -> Iterator[Judged]:
        """As `grade`, but programs that another try may help are left at that: their judgement says `again`."""
        pool = self.open().pool
        jobs = ((item, self._job(item[1])) for item in numbered)
        for (number, sample), (program, judgement) in pool.run(jobs):
            if judgement.again and _is_final(judgement, self.tasks[sample.task_id]):
                judgement = replace(judgement, again=False)
            yield self._judged(number, sample, program, judgement)

    def last_try(self, number: int, sample: Sample) -> Judged:
        """Once more, alone, with limits that are known to be enough for the task's reference."""
        pool = self.open().pool
        limits = self._limits_of(self.tasks[sample.task_id], pool.alone)
        program, judgement = pool.alone(self._job(sample, limits))
        return self._judged(number, sample, program, judgement)

    def _tried_again(self, late: list[Judged]) -> Iterator[Judged]:
        """Those that more time may help, beside each other; the others as they are."""
        pool, jobs = self.open().pool, []
        for judged in late:
            task = self.tasks[judged.sample.task_id]
            limits = self._limits_of(task, lambda job: next(pool.run([(None, job)]))[1])
            slow = limits.cpu_seconds > limits_for(task, self.options.limits).cpu_seconds
            if slow or judged.judgement.status is not Status.TIMEOUT:
                jobs.append((judged, self._job(judged.sample, limits)))
            else:
                yield judged
        for judged, (program, judgement) in pool.run(jobs):
            yield self._judged(judged.number, judged.sample, program, judgement)

    def _limits_of(self, task: Task, run: Callable[[Callable[[Worker], Limits]], Limits]) -> Limits:
        if task.task_id not in self._calibrated:
            self._calibrated[task.task_id] = run(functools.partial(_calibrate, task, self.options))
        return self._calibrated[task.task_id]

    def _job(self, sample: Sample, limits: Limits | None = None) -> Callable[[Worker], tuple[str, Judgement]]:
        name = sample.task_id
        if why := self.set_aside.get(name):
            return lambda _: ("", Judgement(status=Status.INFRA, detail=f"the task is broken: {why}"))
        if (task := self.tasks.get(name)) is None:
            raise DataError(f"{self._source}: sample {sample.sample_id!r} is for task {name!r}, which is not there")
        program = program_of(sample, task)
        if why := self.unproven.get(name):
            return lambda _: (program or "", Judgement(status=Status.INFRA, detail=why))
        if program is None:
            none = Feedback(kind=FeedbackKind.NO_CODE)
            return lambda _: (
                "",
                Judgement(status=Status.NO_CODE, detail="no code in the completion", feedback=none),
            )
        return lambda worker: (program, self._judge(worker, task, program, limits or self.options.limits))

    def _judge(self, worker: Worker, task: Task, program: str, limits: Limits) -> Judgement:
        """In the worker's thread. Feedback that quotes comes from a run without any hidden case."""
        found = judge(worker, task, program, limits, self._asked)
        if not self._feedback or found.status is Status.PASS or (found.again and limits is self.options.limits):
            return found
        shown = judge(worker, self._public[task.task_id], program, limits, Asked(quote=True))
        return found if shown.status is Status.PASS else replace(found, feedback=shown.feedback)

    def _judged(self, number: int, sample: Sample, program: str, judgement: Judgement) -> Judged:
        feedback = judgement.feedback
        if feedback and feedback.kind in _INCOMPLETE and sample.finish_reason == "length":
            judgement = replace(judgement, feedback=replace(feedback, kind=FeedbackKind.CUT_OFF))
        return Judged(number=number, sample=sample, program=program, judgement=judgement)


def pool_for(tier: SandboxTier, tasks: Sequence[Task], options: GradeOptions) -> Pool:
    """Sandboxes with what the tasks import, not started yet."""
    return Pool(tier, options.workers, options.limits, worth_loading(tasks), imported(tasks))


def _left_out(given: Mapping[str, Task], filled: Iterable[Task]) -> dict[str, str]:
    """Which tasks are graded on fewer inputs than they have, by id: never silently."""
    found: dict[str, str] = {}
    for task in filled:
        one, other = given[task.task_id].check, task.check
        if isinstance(one, FunctionCheck) and isinstance(other, FunctionCheck) and len(other.inputs) < len(one.inputs):
            lost = len(one.inputs) - len(other.inputs)
            found[task.task_id] = f"{lost} of {len(one.inputs)} inputs left out, the reference's result is too large"
    return found


def _is_final(judgement: Judgement, task: Task) -> bool:
    """Whether another try is not worth it: the time a benchmark gives its tests was used up, and there is no reference by
    which it could be too little. One by one, those tries would take longer than all else."""
    return judgement.status is Status.TIMEOUT and task.seconds_per_test > 0 and not task.reference


def _calibrate(task: Task, options: GradeOptions, worker: Worker) -> Limits:
    """Limits for a task whose programs ran out of time: a multiple of what its reference needs, with the usual floor."""
    floor = limits_for(task, options.limits)
    cpu = max(floor.cpu_seconds, options.cpu_multiple * slowest_reference(worker, task, patient(floor)))
    return replace(floor, cpu_seconds=cpu, wall_seconds=max(floor.wall_seconds, 4 * cpu))


_alive: "weakref.WeakSet[Grader]" = weakref.WeakSet()


def _forget_all() -> None:
    for grader in list(_alive):
        grader.forget()


os.register_at_fork(after_in_child=_forget_all)
