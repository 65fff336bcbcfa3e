"""Grade samples files in the sandbox: `score_file` (one) and `Grading` (several of the same tasks) write the result file and
its sidecar, `read_graded` reads them.

One worker a core, each with a zygote of its own. A program that ran out of time is tried once more at the end, alone,
with a CPU limit calibrated on the task's reference, before the timeout counts.
"""

import functools
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ssd_plugin import __version__
from ssd_plugin.core.jsonl import JsonObject, dumps, sha256_file, sha256_json, write_json, write_jsonl
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.core.stage_timing import spent
from ssd_plugin.errors import DataError, SandboxError
from ssd_plugin.grading.canaries import run_canaries
from ssd_plugin.grading.grading_key import grading_key
from ssd_plugin.grading.judge import Judgement, judge, limits_for, patient, slowest_reference, weak_oracle_tasks
from ssd_plugin.grading.preload import imported, worth_loading
from ssd_plugin.grading.reference_trial import Tried, tried
from ssd_plugin.grading.refusals import check_forms, check_prelude, make_place, validate
from ssd_plugin.grading.result_files import SCHEMA, GradedRun, grader_code, read_graded, sidecar
from ssd_plugin.grading.rows import program_of, require_own
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.pool import Pool
from ssd_plugin.sandbox.tiers import SandboxTier, choose
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.benchmarks import load_tasks
from ssd_plugin.tasks.schema import FunctionCheck, Result, Sample, Status, Task, read_samples

__all__ = ["GradeOptions", "GradedRun", "Grading", "ScoreSummary", "grade_references", "read_graded", "score_file"]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class GradeOptions:
    """`tier`: None takes the strongest boundary that works. `cpu_multiple`: a program may use this many times its
    reference's CPU time, and never less than `limits.cpu_seconds`. `progress` is called after each graded sample."""

    tier: SandboxTier | None = None
    workers: int = field(default_factory=_cores)
    limits: Limits = field(default_factory=Limits)
    cpu_multiple: float = 10.0
    progress: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreSummary:
    """What `score_file` did: statuses over samples, how many were kept from an earlier run that was cut off. `set_aside`: why
    tasks of a published benchmark are broken, by id; neither they nor their samples count in anything here. `meta` is what
    it wrote into the sidecar."""

    out: Path
    tier: SandboxTier
    tier_notes: tuple[str, ...]
    samples: int
    tasks: int
    counts: Mapping[str, int]
    resumed: int
    canaries: int
    weak_oracle_tasks: int
    set_aside: Mapping[str, str]
    meta: Mapping[str, Any]


class Grading:
    """Grades samples files of one task file: one boundary, chosen and shown to hold (canaries) once. A context manager.

    `path`: the task file.
    """

    def __init__(self, tasks: Path, options: GradeOptions | None = None) -> None:
        """Nothing is started yet.

        Raises:
            DataError: malformed or empty tasks, one without tests among them.
        """
        self.path, self._options = tasks, options or GradeOptions()
        self._tasks = {task.task_id: task for task in load_tasks(tasks)}
        for task in self._tasks.values():
            if task.check is None:
                raise DataError(
                    f"{tasks}: task {task.task_id!r} has no tests (kind, inputs and expected); it cannot be graded"
                )
            check_forms(task, tasks)
            check_prelude(task, tasks)
        self._stack = ExitStack()
        self._boundary: _Boundary | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def score(self, samples: Path, out: Path, *, resume: bool = True) -> ScoreSummary:
        """See `score_file`."""
        given = validate(self._tasks, self.path, samples)
        make_place(out)
        boundary = self._boundary = self._boundary or self._raise_boundary()
        total = sum(count for task, count in given.items() if task in boundary.tasks)
        if not total:
            raise DataError(
                f"{samples}: all its samples are for tasks that are broken: {_first(boundary.trial.set_aside)}"
            )
        meta: JsonObject = {
            "schema": SCHEMA,
            "grader": __version__,
            "code": grader_code(),
            "tier": boundary.tier.value,
            "tasks_sha256": sha256_file(self.path),
            "samples_sha256": sha256_file(samples),
            "limits": self._options.limits.to_json() | {"cpu_multiple": self._options.cpu_multiple},
            "weak_oracle_tasks": weak_oracle_tasks(list(boundary.tasks.values())),
            "set_aside": dict(boundary.trial.set_aside),
            "suites_beside": boundary.trial.beside,
            "inputs_left_out": dict(boundary.left_out),
        }
        key = grading_key() if resume else secrets.token_bytes(32)  # what another key wrote is thrown away
        with PartialFile(out, sha256_json([meta, str(out.resolve())]), total, key) as partial:
            resumed = len(partial)
            with spent("programs"):
                _grade(boundary, samples, partial, self._options)
            counts, digest = _write_rows(out, partial, samples, boundary.tasks, total)
        meta |= {"tier_notes": list(boundary.notes)}
        meta |= {"canaries": {"passed": boundary.canaries, "total": boundary.canaries}}
        meta |= {"counts": counts, "results_sha256": digest}
        write_json(sidecar(out), meta)
        partial.remove()
        return ScoreSummary(
            out=out,
            tier=boundary.tier,
            tier_notes=boundary.notes,
            samples=total,
            tasks=len(boundary.tasks),
            counts=counts,
            resumed=resumed,
            canaries=boundary.canaries,
            weak_oracle_tasks=meta["weak_oracle_tasks"],
            set_aside=boundary.trial.set_aside,
            meta=meta,
        )

    def _raise_boundary(self) -> "_Boundary":
        chosen, tasks = choose(self._options.tier), list(self._tasks.values())
        pool = self._stack.enter_context(_pool(chosen.tier, tasks, self._options))
        canaries = run_canaries(pool, chosen.tier)
        trial = tried(pool, tasks, self._options.limits)
        left_out = _left_out(self._tasks, trial.tasks)
        return _Boundary(
            pool=pool,
            tier=chosen.tier,
            notes=(*chosen.notes, *(f"{name}: {why}" for name, why in left_out.items())),
            left_out=left_out,
            canaries=canaries,
            tasks={task.task_id: task for task in trial.tasks},
            trial=trial,
        )


@dataclass(frozen=True, kw_only=True)
class _Boundary:
    """The workers, what they passed, what was tried, the tasks by id, and which of them lost inputs."""

    pool: Pool
    tier: SandboxTier
    notes: tuple[str, ...]
    canaries: int
    tasks: Mapping[str, Task]
    trial: Tried
    left_out: Mapping[str, str]


def score_file(
    tasks: Path, samples: Path, out: Path, *, options: GradeOptions | None = None, resume: bool = True
) -> ScoreSummary:
    """Grade every sample and write `out` (rows in the samples' order) and `out`.meta.json, or nothing. `resume`: go on
    from the rows that this user's grader kept when it was cut off.

    Raises:
        DataError: malformed or empty input, unknown or duplicate ids, a task without tests (names the line or the id), or
            `out` cannot be written.
        SandboxError: no sandbox works here, a canary was misjudged, or the sandbox failed on the way; what was
            graded until then is kept and the same call continues.
    """
    with Grading(tasks, options) as grading:
        return grading.score(samples, out, resume=resume)


def _write_rows(
    out: Path, partial: PartialFile, samples: Path, by_id: Mapping[str, Task], total: int
) -> tuple[dict[str, int], str]:
    """The result file, whole; returns how many rows have each status, and the digest of what was written."""
    if len(partial) != total:
        raise SandboxError(f"{len(partial)} of {total} samples were graded; run the same command again")
    counts, digest = dict.fromkeys((status.value for status in Status), 0), hashlib.sha256()

    def counted() -> Iterator[JsonObject]:
        own = (sample for sample in read_samples(samples) if sample.task_id in by_id)  # not those of tasks set aside
        for sample, row in zip(own, partial.rows(total), strict=True):
            require_own(row, sample, by_id[sample.task_id], out)
            counts[row["status"]] += 1
            digest.update(f"{dumps(row)}\n".encode())  # not of the file, in whose place another may stand by now
            yield row

    write_jsonl(out, counted())
    return counts, digest.hexdigest()


def _pool(tier: SandboxTier, tasks: list[Task], options: GradeOptions) -> Pool:
    return Pool(tier, options.workers, options.limits, worth_loading(tasks), imported(tasks))


def grade_references(tasks: Path, *, options: GradeOptions | None = None) -> Tried:
    """Judge each task's own reference solution, a task without one left out; and why tasks are set aside.

    Raises:
        DataError, SandboxError: as `score_file`.
    """
    options = options or GradeOptions()
    loaded = [task for task in load_tasks(tasks) if task.reference]
    with _pool(choose(options.tier).tier, loaded, options) as pool:
        trial = tried(pool, loaded, options.limits)
        jobs = {task.task_id: _reference_job(task, options.limits) for task in trial.tasks}
        found = dict(trial.references)
        found |= dict(pool.run((name, job) for name, job in jobs.items() if name not in found))
        for name, job in jobs.items():
            if found[name].again:  # slow is not wrong: alone, where no other program takes its time
                found[name] = pool.alone(job)
    unproven = {name: Judgement(status=Status.INFRA, detail=why) for name, why in trial.unproven.items()}
    return replace(trial, references=found | unproven)


def _reference_job(task: Task, limits: Limits) -> Callable[[Worker], Judgement]:
    return _job(task, task.reference, patient(limits_for(task, limits)))


def _first(set_aside: Mapping[str, str]) -> str:
    return next((f"{task!r}: {why}" for task, why in set_aside.items()), "")


def _left_out(given: Mapping[str, Task], filled: Iterable[Task]) -> dict[str, str]:
    """Which tasks are graded on fewer inputs than they have, by id: never silently."""
    found: dict[str, str] = {}
    for task in filled:
        one, other = given[task.task_id].check, task.check
        if isinstance(one, FunctionCheck) and isinstance(other, FunctionCheck) and len(other.inputs) < len(one.inputs):
            lost = len(one.inputs) - len(other.inputs)
            found[task.task_id] = f"{lost} of {len(one.inputs)} inputs left out, the reference's result is too large"
    return found


def _job(task: Task, program: str, limits: Limits) -> Callable[[Worker], Judgement]:
    return lambda worker: judge(worker, task, program, limits)


def _pending(samples: Path, tasks: Mapping[str, Task], skip: Callable[[int], bool]) -> Iterator[tuple[int, Sample]]:
    """The samples of these tasks, numbered, without those to skip."""
    for number, sample in enumerate(sample for sample in read_samples(samples) if sample.task_id in tasks):
        if not skip(number):
            yield number, sample


def _row(sample: Sample, program: str | None, judgement: Judgement) -> JsonObject:
    return Result(
        task_id=sample.task_id,
        sample_id=sample.sample_id,
        completion=sample.completion,
        status=judgement.status,
        program=program or "",
        detail=judgement.detail,
        finish_reason=sample.finish_reason,
        thinking=sample.thinking,
    ).to_json()


def _grade(boundary: _Boundary, samples: Path, partial: PartialFile, options: GradeOptions) -> None:
    """First all samples on all workers; then those that ran out of time, one by one."""
    pool, by_id = boundary.pool, boundary.tasks
    again: set[int] = set()

    def record(number: int, sample: Sample, program: str | None, judgement: Judgement) -> None:
        partial.append(number, _row(sample, program, judgement))
        if options.progress:
            options.progress()

    def jobs() -> Iterator[tuple[Any, Callable[[Worker], Judgement]]]:
        for number, sample in _pending(samples, by_id, partial.__contains__):
            program = program_of(sample, by_id[sample.task_id])
            if why := boundary.trial.unproven.get(sample.task_id):
                record(number, sample, program, Judgement(status=Status.INFRA, detail=why))
            elif program is None:
                record(number, sample, None, Judgement(status=Status.NO_CODE, detail="no code in the completion"))
            else:
                yield (number, sample, program), _job(by_id[sample.task_id], program, options.limits)

    for (number, sample, program), judgement in pool.run(jobs()):
        if judgement.again and not _is_final(judgement, by_id[sample.task_id]):
            again.add(number)
        else:
            record(number, sample, program, judgement)
    calibrated: dict[str, Limits] = {}
    for number, sample in _pending(samples, by_id, lambda number: number not in again):
        task = by_id[sample.task_id]
        program = program_of(sample, task) or ""
        if task.task_id not in calibrated:
            calibrated[task.task_id] = pool.alone(functools.partial(_calibrate, task, options))
        limits = calibrated[task.task_id]
        record(number, sample, program, pool.alone(_job(task, program, limits)))


def _is_final(judgement: Judgement, task: Task) -> bool:
    """Whether another try is not worth it: the time a benchmark gives its tests was used up, and there is no reference by
    which it could be too little. One by one, those tries would take longer than all else."""
    return judgement.status is Status.TIMEOUT and task.seconds_per_test > 0 and not task.reference


def _calibrate(task: Task, options: GradeOptions, worker: Worker) -> Limits:
    """Limits for a task whose programs ran out of time: a multiple of what its reference needs, with the usual floor."""
    floor = limits_for(task, options.limits)
    cpu = max(floor.cpu_seconds, options.cpu_multiple * slowest_reference(worker, task, patient(floor)))
    return replace(floor, cpu_seconds=cpu, wall_seconds=max(floor.wall_seconds, 4 * cpu))
