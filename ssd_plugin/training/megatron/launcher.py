"""Starts a job's ranks under torchrun, one a GPU of this machine, and watches them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ssd_plugin.errors import DataError, ResourceError, TrainingError
from ssd_plugin.jsonl import read_json, write_json
from ssd_plugin.parent import die_with
from ssd_plugin.progress import track
from ssd_plugin.training.megatron.job import FAILURE, STEPS, job_to_json
from ssd_plugin.training.protocol import TrainJob

PROGRAM = ("-m", "ssd_plugin.training.megatron.ranks")
JOB_FILE = "ranks.json"


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """`count` ranks; `program`: what each of them runs, with the job's file as its argument."""

    count: int
    program: tuple[str, ...] = PROGRAM

    def command(self, file: Path) -> list[str]:
        """The torchrun command line."""
        kind, program = (["--module"], self.program[1:]) if self.program[0] == "-m" else ([], self.program)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.count}"]
        return [*torchrun, *kind, *program, str(file)]

    def start(self, file: Path, log: Path) -> "subprocess.Popen[bytes]":
        """Start them; they end with this process, however it ends."""
        # Context parallelism and overlap in Megatron want one hardware queue; on a CPU the variable means nothing.
        environment = os.environ | {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}
        with log.open("w", encoding="utf-8") as stream:
            return subprocess.Popen(  # noqa: S603 - our own program
                self.command(file),
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )


def gpus() -> int:
    """How many this process sees."""
    import torch

    return int(torch.cuda.device_count())


def run_ranks(job: TrainJob, ranks: Ranks, is_exported: Callable[[TrainJob], bool]) -> None:
    """Train and export.

    Raises:
        TrainingError: the ranks cannot be divided, or one of them failed.
        ResourceError: memory or disk ran out.
    """
    parallel = job.config.parallel
    size = parallel.tensor * parallel.pipeline * parallel.context
    if ranks.count < 1 or ranks.count % size:
        raise TrainingError(
            f"{ranks.count} GPUs here, train.parallel needs a multiple of tensor x pipeline x context = {size}"
        )
    file, log = job.work / JOB_FILE, job.work / "ranks.log"
    write_json(file, job_to_json(job))
    process = ranks.start(file, log)
    try:
        _watch(process, job)
    finally:
        process.terminate()  # torchrun ends its ranks with it
        process.wait()
    if process.returncode:
        raise _failure(job, log)
    if not is_exported(job):
        raise TrainingError(f"the ranks ended without a model; see {log}")


def _watch(process: "subprocess.Popen[bytes]", job: TrainJob) -> None:
    """Show progress until the ranks end."""
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


def _failure(job: TrainJob, log: Path) -> TrainingError | ResourceError:
    try:
        return TrainingError(read_json(job.work / FAILURE)["message"])
    except DataError:
        text = log.read_text(encoding="utf-8", errors="replace")
    if "OutOfMemoryError" in text or "can't allocate memory" in text:
        return ResourceError(
            "a rank ran out of memory: raise train.parallel or train.parallel.recompute (see: ssd plan)"
        )
    if "No space left on device" in text:
        return ResourceError(f"no space left near {job.work}: free some and run the same command again")
    errors = re.findall(r"^(?:\[rank\d+\]: )?(\w*(?:Error|Exception): .+)$", text, flags=re.MULTILINE)
    return TrainingError(f"a rank failed: {errors[0] if errors else 'without a message'}; see {log}")
