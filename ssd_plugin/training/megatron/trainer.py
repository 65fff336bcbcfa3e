"""Starts the ranks, watches them, and puts the exported model in its place once it is proven to be the trained one."""

import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ssd_plugin.core.jsonl import read_json, read_jsonl, write_json, write_jsonl
from ssd_plugin.core.run_layout import TRAINING_LOG_NAME
from ssd_plugin.errors import DataError, DependencyError, TrainingError
from ssd_plugin.models.weights import check_model_dir
from ssd_plugin.training.checkpoints import JOB, finish, finished
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.megatron.job import (
    EXPORTED,
    FAILURE,
    LOGITS,
    REHEARSED,
    REPORT,
    ROWS,
    STEPS,
    checkpoints_of,
    probes,
)
from ssd_plugin.training.megatron.launcher import data_parallel, gpus, run_ranks
from ssd_plugin.training.megatron.torchrun import PROGRAM, Ranks
from ssd_plugin.training.protocol import TrainJob, TrainSummary

INSTALL = "pip install megatron-core megatron-bridge, or use NVIDIA's NeMo container"


@dataclass(frozen=True, kw_only=True)
class MegatronTrainer:
    """See `Trainer`. `ranks`: processes per node (0: one per GPU). `program`: what each of them runs."""

    ranks: int = 0
    program: tuple[str, ...] = PROGRAM

    def train(self, job: TrainJob) -> TrainSummary:
        """See `Trainer.train`."""
        require_bridge()
        identity = job.identity()
        if done := finished(job.work, identity, job.output):
            return done
        examples = _read_examples(job)
        _begin(job, identity)
        ranks = Ranks(count=self.ranks or gpus(), program=self.program)
        if not _is_exported(job):
            run_ranks(job, ranks, _rows(job, examples, data_parallel(job, ranks)), _is_exported)
        _require_same_model(job, examples)
        tokens = _tokens_a_step(job, examples)
        rows = _write_log(job, tokens)
        _place(job)
        summary = TrainSummary(
            steps=len(rows), tokens=sum(tokens), first_loss=rows[0]["loss"], last_loss=rows[-1]["loss"]
        )
        finish(job.work, identity, job.output, summary)
        shutil.rmtree(checkpoints_of(job), ignore_errors=True)  # fourteen bytes a weight each, and of no more use
        return summary


def require_bridge() -> None:
    """Refuse to go on without Megatron-Bridge.

    Raises:
        DependencyError: it is missing (says the install line).
    """
    try:
        importlib.metadata.version("megatron-bridge")
    except importlib.metadata.PackageNotFoundError:
        raise DependencyError(
            f"Megatron-Bridge is not installed: {INSTALL}; or set train.backend to embedded"
        ) from None


def _read_examples(job: TrainJob) -> Examples:
    from ssd_plugin.training.megatron.rows import read_examples

    return read_examples(job, int(read_json(job.base_model / "config.json")["vocab_size"]))


def _rows(job: TrainJob, examples: Examples, data_parallel: int) -> int:
    """Rows a step: those of the job's first start, since Megatron counts rows where it goes on.

    Raises:
        TrainingError: they cannot be divided over these GPUs.
    """
    from ssd_plugin.training.megatron.rows import rows_a_step

    begun = read_json(job.work / JOB)
    rows = begun.get(ROWS) or rows_a_step(examples.lengths, job.config, job.seed, data_parallel)
    if rows % data_parallel:
        raise TrainingError(
            f"this training began with {rows} rows a step, which {data_parallel} data-parallel ranks cannot share: go on with "
            f"as many GPUs as it began with, or delete {job.work}"
        )
    write_json(job.work / JOB, begun | {ROWS: rows})
    return int(rows)


def _tokens_a_step(job: TrainJob, examples: Examples) -> list[int]:
    """Labels in each step's batch, however they were laid in rows."""
    from ssd_plugin.training.megatron.rows import plan_rows

    steps = plan_rows(examples.lengths, job.config, job.seed, int(read_json(job.work / JOB)[ROWS]))
    return [sum(examples[index].loss_tokens for row in step for index in row) for step in steps]


def _begin(job: TrainJob, identity: str) -> None:
    """Keep the work directory of the same job, empty it of another's."""
    try:
        same = read_json(job.work / JOB).get("identity") == identity
    except DataError:
        same = False
    if not same:
        shutil.rmtree(checkpoints_of(job), ignore_errors=True)
        shutil.rmtree(job.work / EXPORTED, ignore_errors=True)
        for name in (STEPS, REPORT, LOGITS, TRAINING_LOG_NAME, REHEARSED):
            (job.work / name).unlink(missing_ok=True)
        write_json(job.work / JOB, {"identity": identity})
    (job.work / FAILURE).unlink(missing_ok=True)


def _is_exported(job: TrainJob) -> bool:
    try:
        return bool(read_json(job.work / REPORT)["step"] == job.config.train_iters)
    except DataError:
        return False


def _steps(job: TrainJob) -> Iterator[dict[str, Any]]:
    return (row for _, row in read_jsonl(job.work / STEPS))


def _require_same_model(job: TrainJob, examples: Examples) -> None:
    """The exported model must have the logits of the Megatron model that was in memory.

    Raises:
        TrainingError: it has not, or cannot be loaded: the conversion lost or misplaced weights, nothing may be gated.
    """
    from ssd_plugin.training.megatron.logits import export_fault

    fault = export_fault(job.base_model, job.work / EXPORTED, job.work / LOGITS, probes(examples))
    if fault:
        (job.work / REPORT).unlink()
        raise TrainingError(
            f"the exported model is not the trained one: {fault}; Megatron-Bridge's conversion does not fit this model"
        )


def _write_log(job: TrainJob, tokens: list[int]) -> list[dict[str, Any]]:
    """`log.jsonl`: one row a step, the last of those that a restart repeated."""
    rows = {row["step"]: row for row in _steps(job)}
    if sorted(rows) != list(range(1, job.config.train_iters + 1)):
        raise TrainingError(
            f"{job.work / STEPS}: {len(rows)} steps logged, {job.config.train_iters} trained; delete {job.work}"
        )
    whole = [rows[step] | {"tokens": tokens[step - 1]} for step in sorted(rows)]
    write_jsonl(job.work / TRAINING_LOG_NAME, whole)
    return whole


def _place(job: TrainJob) -> None:
    """The directory appears whole."""
    check_model_dir(job.work / EXPORTED)
    if job.output.exists():
        shutil.rmtree(job.output)
    (job.work / EXPORTED).rename(job.output)
    for name in (REPORT, LOGITS):
        (job.work / name).unlink()
