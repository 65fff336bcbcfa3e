"""What every rank runs under torchrun: `python -m ssd_plugin.training.megatron.ranks JOB.json`."""

import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from megatron.bridge.training import initialize
from megatron.bridge.training.callbacks import Callback
from megatron.bridge.training.config import ConfigContainer
from megatron.bridge.training.gpt_step import forward_step
from megatron.bridge.training.pretrain import pretrain

from ssd_plugin.core.jsonl import dumps, read_json, write_json
from ssd_plugin.core.parent_process import die_with
from ssd_plugin.errors import ConfigError
from ssd_plugin.training.megatron import bridge
from ssd_plugin.training.megatron.export import Export
from ssd_plugin.training.megatron.job import FAILURE, ROWS, STEPS, job_from_json
from ssd_plugin.training.megatron.options import lay_over
from ssd_plugin.training.protocol import TrainJob


class Log(Callback):  # type: ignore[misc]  # Bridge has no types
    """Writes one row an iteration, from the last rank (which has the loss); a loss that is no number ends the run."""

    def __init__(self, work: Path) -> None:
        self._file = work / STEPS
        self._began = time.monotonic()

    def on_train_step_end(self, context: Any) -> None:
        """Bridge calls this on every rank after each iteration."""
        losses = context.loss_dict or {}
        if torch.distributed.get_rank() != torch.distributed.get_world_size() - 1:
            return
        now = time.monotonic()
        row = {
            "step": context.state.train_state.step + 1,  # Bridge counts after its callbacks
            "loss": float(losses["lm loss"]),
            "lr": context.optimizer.param_groups[0]["lr"],
            "grad_norm": float(context.grad_norm),
            "seconds": round(now - self._began, 3),
        }
        self._began = now
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            write_json(
                self._file.with_name(FAILURE),
                {"message": f"step {row['step']}: loss or gradient is not finite; lower train.max_lr"},
            )
            raise FloatingPointError(row)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(dumps(row) + "\n")


def skip_compiling() -> None:
    """Do not let Megatron compile its data sets' helpers where they are compiled: wheels bring them so, and no Makefile."""
    if importlib.util.find_spec("megatron.core.datasets.helpers_cpp"):
        initialize.compile_helpers = lambda: None


def run(job: TrainJob, rows: int, adjust: Callable[[ConfigContainer], None] = lambda _: None) -> None:
    """Train to the end, `rows` rows a step, resuming from the newest checkpoint, and export. `adjust` may change the
    configuration first (tests make it fit a CPU)."""
    skip_compiling()
    hub, provider = bridge.model_provider(job.base_model, job.config)
    config = bridge.container(job, provider, rows)
    try:
        lay_over(config, job.config.megatron)
    except ConfigError as error:
        write_json(job.work / FAILURE, {"message": str(error)})
        raise
    adjust(config)
    pretrain(config, forward_step, callbacks=[Log(job.work), Export(hub, job, provider.vocab_size)])


def main(file: str, adjust: Callable[[ConfigContainer], None] = lambda _: None) -> None:
    """Run the job of a file; the rank ends with torchrun, and torchrun with the trainer, however those end."""
    die_with(os.getppid())
    values = read_json(Path(file))
    run(job_from_json(values), values[ROWS], adjust)


if __name__ == "__main__":
    main(sys.argv[1])
