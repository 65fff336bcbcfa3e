"""Grade samples files in the sandbox: `score_file` (one) and `Grading` (several of the same tasks) write the result file and
its sidecar, `read_graded` reads them. What is graded, and how, is `Grader`'s (`in_memory`).
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ssd_plugin import __version__
from ssd_plugin.core.jsonl import JsonObject, dumps, sha256_file, sha256_json, write_jsonl
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.core.stage_timing import spent
from ssd_plugin.errors import DataError, SandboxError
from ssd_plugin.grading.grading_key import grading_key
from ssd_plugin.grading.in_memory import GradeOptions, Grader, Judged, pool_for
from ssd_plugin.grading.judge import Judgement, judge, limits_for, patient, weak_oracle_tasks
from ssd_plugin.grading.reference_trial import Tried, suites_beside, tried
from ssd_plugin.grading.refusals import make_place, validate
from ssd_plugin.grading.result_files import SCHEMA, GradedRun, grader_code, read_graded, write_sidecar
from ssd_plugin.grading.rows import require_own
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.tiers import SandboxTier, choose
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.benchmarks import load_tasks
from ssd_plugin.tasks.schema import Result, Sample, Status, Task, read_samples

__all__ = ["GradeOptions", "GradedRun", "Grading", "ScoreSummary", "grade_references", "read_graded", "score_file"]


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
        self.path, self._tasks = tasks, {task.task_id: task for task in load_tasks(tasks)}
        self._grader = Grader(self._tasks.values(), options, source=tasks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._grader.close()

    def score(self, samples: Path, out: Path, *, resume: bool = True) -> ScoreSummary:
        """See `score_file`."""
        given = validate(self._tasks, self.path, samples)
        make_place(out)
        boundary, grader = self._grader.open(), self._grader
        total = sum(count for task, count in given.items() if task in grader.tasks)
        if not total:
            raise DataError(f"{samples}: all its samples are for tasks that are broken: {_first(grader.set_aside)}")
        meta: JsonObject = {
            "schema": SCHEMA,
            "grader": __version__,
            "code": grader_code(),
            "tier": boundary.tier.value,
            "tasks_sha256": sha256_file(self.path),
            "samples_sha256": sha256_file(samples),
            "limits": grader.options.limits.to_json() | {"cpu_multiple": grader.options.cpu_multiple},
            "weak_oracle_tasks": weak_oracle_tasks(list(grader.tasks.values())),
            "set_aside": dict(grader.set_aside),
            "suites_beside": suites_beside(grader.tasks.values()),
            "inputs_left_out": dict(grader.left_out),
        }
        key = grading_key() if resume else secrets.token_bytes(32)  # what another key wrote is thrown away
        with PartialFile(out, sha256_json([meta, str(out.resolve())]), total, key) as partial:
            resumed = len(partial)
            with spent("programs"):
                _grade(grader, samples, partial)
            counts, digest = _write_rows(out, partial, samples, grader.tasks, total)
        notes = (*boundary.notes, *(f"{name}: {why}" for name, why in grader.left_out.items()))
        meta |= {"tier_notes": list(notes)}
        meta |= {"canaries": {"passed": boundary.canaries, "total": boundary.canaries}}
        meta |= {"counts": counts, "results_sha256": digest}
        meta = write_sidecar(out, meta)
        partial.remove()
        return ScoreSummary(
            out=out,
            tier=boundary.tier,
            tier_notes=notes,
            samples=total,
            tasks=len(grader.tasks),
            counts=counts,
            resumed=resumed,
            canaries=boundary.canaries,
            weak_oracle_tasks=meta["weak_oracle_tasks"],
            set_aside=dict(grader.set_aside),
            meta=meta,
        )


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


def grade_references(tasks: Path, *, options: GradeOptions | None = None) -> Tried:
    """Judge each task's own reference solution, a task without one left out; and why tasks are set aside.

    Raises:
        DataError, SandboxError: as `score_file`.
    """
    options = options or GradeOptions()
    loaded = [task for task in load_tasks(tasks) if task.reference]
    with pool_for(choose(options.tier).tier, loaded, options) as pool:
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
    return lambda worker: judge(worker, task, task.reference, patient(limits_for(task, limits)))


def _first(set_aside: Mapping[str, str]) -> str:
    return next((f"{task!r}: {why}" for task, why in set_aside.items()), "")


def _pending(samples: Path, tasks: Mapping[str, Task], skip: Callable[[int], bool]) -> Iterator[tuple[int, Sample]]:
    """The samples of these tasks, numbered, without those to skip."""
    for number, sample in enumerate(sample for sample in read_samples(samples) if sample.task_id in tasks):
        if not skip(number):
            yield number, sample


def _row(judged: Judged) -> JsonObject:
    sample, judgement = judged.sample, judged.judgement
    return Result(
        task_id=sample.task_id,
        sample_id=sample.sample_id,
        completion=sample.completion,
        status=judgement.status,
        program=judged.program,
        detail=judgement.detail,
        finish_reason=sample.finish_reason,
        thinking=sample.thinking,
    ).to_json()


def _grade(grader: Grader, samples: Path, partial: PartialFile) -> None:
    """First all samples on all workers; then those that ran out of time, one by one, read again rather than kept."""
    again: set[int] = set()

    def record(judged: Judged) -> None:
        partial.append(judged.number, _row(judged))
        if grader.options.progress:
            grader.options.progress()

    for judged in grader.first_tries(_pending(samples, grader.tasks, partial.__contains__)):
        if judged.judgement.again:
            again.add(judged.number)
        else:
            record(judged)
    for number, sample in _pending(samples, grader.tasks, lambda number: number not in again):
        record(grader.last_try(number, sample))
