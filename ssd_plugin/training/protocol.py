"""What the pipeline asks of a training backend. Every backend runs the same conformance suite."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.core.jsonl import sha256_file, sha256_json


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One fine-tune. `examples`: JSON lines with `prompt_token_ids` and `completion_token_ids` (loss on the latter only).
    `output` is written whole at the end: safetensors, tokenizer, chat template, generation config. `work` keeps
    checkpoints to resume from and `log.jsonl`, a row an iteration: step, loss, lr, grad_norm, tokens, seconds.
    `base_digest`: `weights.model_digest(base_model)`."""

    base_model: Path
    base_digest: str
    examples: Path
    work: Path
    output: Path
    seed: int
    config: TrainConfig

    def identity(self) -> str:
        """Digest of all that the result depends on: a checkpoint of anything else is not resumed from."""
        return sha256_json([self.base_digest, sha256_file(self.examples), self.seed, asdict(self.config)])


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """What was done: optimizer steps, loss-bearing tokens seen, first and last losses (nats a token)."""

    steps: int
    tokens: int
    first_loss: float
    last_loss: float


class Trainer(Protocol):
    """A backend that fine-tunes a Hugging Face model directory into another."""

    def train(self, job: TrainJob) -> TrainSummary:
        """Run to the end, resuming from `job.work`; a resumed run ends bit for bit where an uninterrupted one does.

        Raises:
            TrainingError: examples do not fit the sequence length, the loss is not finite, the job is not possible.
            ResourceError: out of memory or disk.
        """
