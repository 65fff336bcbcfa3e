"""One node's ranks under torchrun, one per GPU, and what their logs say when they fail."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ssd_plugin.core.gpus import BLACKWELL, find_gpus
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.core.parent_process import die_with
from ssd_plugin.errors import DataError, ResourceError, TrainingError
from ssd_plugin.training.megatron.job import FAILURE

PROGRAM = ("-m", "ssd_plugin.training.megatron.ranks")
# What a rank says whose partner went away: the reason stands in the partner's log.
ECHO = re.compile(r"gloo|NCCL|Dist(Network|Store|Backend)Error|onnection (closed|reset|refused)|roken pipe|TCPStore")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """`count` ranks a node; `program`: what each of them runs, with the job's file as its argument, in `python`."""

    count: int
    program: tuple[str, ...] = PROGRAM
    python: str = sys.executable

    def command(self, file: Path, meeting: Sequence[str]) -> list[str]:
        """The torchrun command line; `meeting`: its options for how the nodes find each other."""
        kind, program = (["--module"], self.program[1:]) if self.program[0] == "-m" else ([], self.program)
        torchrun = [self.python, "-m", "torch.distributed.run", *meeting, f"--nproc-per-node={self.count}"]
        return [*torchrun, *kind, *program, str(file)]

    def start(self, file: Path, meeting: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
        """Start them; they end with this process, however it ends."""
        environment = rank_environment(find_gpus().capability) | os.environ | {"PYTHONSAFEPATH": "1"}
        with log.open("w", encoding="utf-8") as stream:
            return subprocess.Popen(  # noqa: S603 - our own program
                self.command(file, meeting),
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )


def rank_environment(capability: float) -> dict[str, str]:
    """What ranks run with where the user's environment says nothing else; on a CPU none of it means anything.

    Before Blackwell, overlap in Megatron wants one hardware queue; Bridge's own recipes for Blackwell use 32.
    """
    return {
        "CUDA_DEVICE_MAX_CONNECTIONS": "32" if capability >= BLACKWELL else "1",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",  # rows differ in length, which fragments memory
        "TORCH_NCCL_AVOID_RECORD_STREAMS": "1",  # or tensors that were sent are held for longer than they are needed
        "NCCL_NVLS_ENABLE": "0",  # as in Bridge's recipes: its buffers take gigabytes
    }


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the ranks, and wait until they have."""
    process.terminate()  # torchrun ends its ranks with it
    process.wait()


def failure(work: Path, log: Path) -> TrainingError | ResourceError:
    """Why a node's ranks failed, in one line: what they wrote down, or the first error of their log that is no echo of
    another's."""
    try:
        return TrainingError(read_json(work / FAILURE)["message"])
    except DataError:
        text = log.read_text(encoding="utf-8", errors="replace")
    if "OutOfMemoryError" in text or "can't allocate memory" in text:
        return ResourceError(
            "a rank ran out of memory: raise train.parallel or train.parallel.recompute (see: ssd plan)"
        )
    if "No space left on device" in text:
        return ResourceError(f"no space left near {work}: free some and run the same command again")
    errors = re.findall(r"^(?:\[rank\d+\]: )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", text, flags=re.MULTILINE)
    first = next((error for error in errors if not ECHO.search(error)), errors[0] if errors else "without a message")
    return TrainingError(f"a rank failed: {first}; see {log}")
