"""Starts the ranks, watches them, and puts the exported model in its place once it is proven to be the trained one."""

import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ssd_plugin.errors import DataError, DependencyError, TrainingError
from ssd_plugin.jsonl import read_json, read_jsonl, write_json, write_jsonl
from ssd_plugin.training.checkpoints import JOB, LOG, finish, finished
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.megatron.job import (
    EXPORTED,
    FAILURE,
    LOGITS,
    REPORT,
    STEPS,
    checkpoints_of,
    probes,
)
from ssd_plugin.training.megatron.launcher import gpus, run_ranks
from ssd_plugin.training.megatron.torchrun import PROGRAM, Ranks
from ssd_plugin.training.protocol import TrainJob, TrainSummary
from ssd_plugin.weights import check_model_dir

INSTALL = "pip install megatron-core megatron-bridge, or use NVIDIA's NeMo container"


@dataclass(frozen=True, kw_only=True)
class MegatronTrainer:
    """See `Trainer`. `ranks`: processes a node (0: one a GPU). `program`: what each of them runs."""

    ranks: int = 0
    program: tuple[str, ...] = PROGRAM

    def train(self, job: TrainJob) -> TrainSummary:
        """See `Trainer.train`."""
        require_bridge()
        identity = job.identity()
        if done := finished(job.work, identity, job.output):
            return done
        tokens = _tokens_a_step(job)
        _begin(job, identity)
        if not _is_exported(job):
            run_ranks(job, Ranks(count=self.ranks or gpus(), program=self.program), _is_exported)
        _require_same_model(job)
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


def _tokens_a_step(job: TrainJob) -> list[int]:
    """Labels in each step's batch."""
    examples, plan = _read_examples(job)
    rows = [sum(examples[index].loss_tokens for index in row) for row in plan]
    size = job.config.global_batch_size
    return [sum(rows[start : start + size]) for start in range(0, len(rows), size)]


def _read_examples(job: TrainJob) -> "tuple[Examples, list[list[int]]]":
    from ssd_plugin.training.megatron.rows import read_examples

    return read_examples(job, int(read_json(job.base_model / "config.json")["vocab_size"]))


def _begin(job: TrainJob, identity: str) -> None:
    """Keep the work directory of the same job, empty it of another's."""
    try:
        same = read_json(job.work / JOB).get("identity") == identity
    except DataError:
        same = False
    if not same:
        shutil.rmtree(checkpoints_of(job), ignore_errors=True)
        shutil.rmtree(job.work / EXPORTED, ignore_errors=True)
        for name in (STEPS, REPORT, LOGITS, LOG):
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


def _require_same_model(job: TrainJob) -> None:
    """The exported model must have the logits of the Megatron model that was in memory.

    Raises:
        TrainingError: it has not, or cannot be loaded: the conversion lost or misplaced weights, nothing may be gated.
    """
    from safetensors import SafetensorError

    from ssd_plugin.training.export import carry_over
    from ssd_plugin.training.megatron.logits import compare

    carry_over(job.base_model, job.work / EXPORTED)  # everything but the weights is the base model's own
    examples, _ = _read_examples(job)
    try:
        fault = compare(job.work / EXPORTED, job.work / LOGITS, probes(examples))
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        fault = f"it cannot be compared ({type(error).__name__}: {' '.join(str(error).split())})"
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
    write_jsonl(job.work / LOG, whole)
    return whole


def _place(job: TrainJob) -> None:
    """The directory appears whole."""
    check_model_dir(job.work / EXPORTED)
    if job.output.exists():
        shutil.rmtree(job.output)
    (job.work / EXPORTED).rename(job.output)
    for name in (REPORT, LOGITS):
        (job.work / name).unlink()
