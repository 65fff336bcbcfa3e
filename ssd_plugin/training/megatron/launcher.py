"""Runs a job's ranks, on this machine and on the nodes that wait for it, and watches them."""

import contextlib
import subprocess
from collections.abc import Callable

from ssd_plugin.core.gpus import nodes_together
from ssd_plugin.core.jsonl import write_json
from ssd_plugin.core.progress import track
from ssd_plugin.errors import TrainingError
from ssd_plugin.training.megatron.job import JOB_FILE, ROWS, STEPS, job_to_json
from ssd_plugin.training.megatron.nodes import Team, call_together
from ssd_plugin.training.megatron.torchrun import ECHO, Ranks, end, failure
from ssd_plugin.training.protocol import TrainJob


def gpus() -> int:
    """How many this process sees."""
    import torch

    return int(torch.cuda.device_count())


def data_parallel(job: TrainJob, ranks: Ranks) -> int:
    """How many groups of ranks each hold a whole model.

    Raises:
        TrainingError: the ranks cannot be divided.
    """
    parallel, total = job.config.parallel, ranks.count * nodes_together()
    size = parallel.tensor * parallel.pipeline * parallel.context
    if total < 1 or total % size:
        raise TrainingError(f"{total} GPUs, train.parallel needs a multiple of tensor x pipeline x context = {size}")
    return total // size


def run_ranks(job: TrainJob, ranks: Ranks, rows: int, is_exported: Callable[[TrainJob], bool]) -> None:
    """Train, `rows` rows a step, and export.

    Raises:
        TrainingError: a rank failed, or another node did.
        ResourceError: memory or disk ran out.
    """
    write_json(job.work / JOB_FILE, job_to_json(job) | {ROWS: rows})
    log, team = job.work / "ranks.log", call_together(job.work, ranks)
    process = ranks.start(job.work / JOB_FILE, team.options, log)
    try:
        _watch(process, job, team)
    finally:
        end(process)
    if process.returncode:
        error = failure(job.work, log)
        if ECHO.search(str(error)):
            team.wait_for_cause()
        raise error
    if not is_exported(job):
        raise TrainingError(f"the ranks ended without a model; see {log}")


def _watch(process: "subprocess.Popen[bytes]", job: TrainJob, team: Team) -> None:
    """Show progress until the ranks end.

    Raises:
        TrainingError: another node failed.
    """
    with track("train", job.config.train_iters) as advance:
        shown = 0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2.0)
            if (job.work / STEPS).exists():
                done = (job.work / STEPS).read_text(encoding="utf-8").count("\n")
                advance(max(0, done - shown))
                shown = max(shown, done)
            if process.returncode is not None:
                return
            team.check()
