"""Starts the ranks, watches them, and puts the exported model in its place once it is proven to be the trained one."""

import collections
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ssd_plugin.errors import DependencyError, ResourceError, TrainingError
from ssd_plugin.jsonl import JsonObject, read_json, read_jsonl, sha256_file, sha256_json, write_json, write_jsonl
from ssd_plugin.progress import track
from ssd_plugin.training import checkpoints
from ssd_plugin.training.protocol import TrainJob, TrainSummary
from ssd_plugin.weights import model_digest

RANKS_LOG = "ranks.log"
TOLERANCE = 0.02  # nats a label: what bf16 rounding in different kernels may differ by; a wrong weight differs by far more


@dataclass(frozen=True, kw_only=True)
class MegatronTrainer:
    """See `Trainer`. `ranks`: processes on this machine (0: a rank a GPU). `program`: what each of them runs."""

    ranks: int = 0
    program: tuple[str, ...] = ("-m", "ssd_plugin.training.megatron.ranks")
    environment: dict[str, str] = field(default_factory=dict)
