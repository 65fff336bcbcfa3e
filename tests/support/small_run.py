"""The embedded recipe at a size of seconds, for tests of the installed command."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SSD = Path(sys.executable).with_name("ssd")
SMALL: dict[str, Any] = {
    "engine.dtype": "float32",
    "prompts.limit": 6,
    "sampling.max_new_tokens": 16,
    "filters.drop_truncated": "false",
    "filters.drop_single_line_stubs": "false",
    "train.train_iters": 2,
    "train.warmup_iters": 0,
    "train.save_interval": 1,
    "train.global_batch_size": 2,
    "train.seq_length": 768,
    "select.data.limit": 3,
    "select.temperatures": "0.5",
    "evaluate.data.limit": 4,
    "evaluate.samples_per_task": 1,
    "evaluate.max_new_tokens": 16,
}


def small(command: str, run_dir: Path, changes: Mapping[str, Any], *words: str) -> list[str]:
    """The command line of `ssd COMMAND` on the embedded recipe at that size; `words` come last."""
    sets = [word for key, value in (SMALL | dict(changes)).items() for word in ("--set", f"{key}={value}")]
    return [str(SSD), command, "ssd_smollm2_135m", "--run-dir", str(run_dir), *sets, *words]
