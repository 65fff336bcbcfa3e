"""What a loop that learns from rollouts asks of a trainer: rows and a loss in, one optimizer step out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ssd_plugin.methods.routes import Branch


@dataclass(frozen=True, kw_only=True)
class Row:
    """One rollout. `sampler`: log-probabilities of the completion's tokens under the distribution that they were drawn from.
    `teacher_prompt`: the prompt that the teacher sees before the same completion. `branch`: whether its tokens are compared with
    the teacher, rewarded by `advantage`, or carry no loss. The first `skip` tokens carry none either."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    sampler: tuple[float, ...]
    teacher_prompt: tuple[int, ...] = ()
    advantage: float = 0.0
    branch: Branch = "none"
    skip: int = 0

    @property
    def loss_tokens(self) -> int:
        """How many tokens stand in the batch's denominator."""
        return 0 if self.branch == "none" else max(0, len(self.completion) - self.skip)

    @property
    def teaches(self) -> bool:
        """Whether anything can be learnt from it: a teacher that sees no more than the student has nothing to say, and an
        advantage of 0 has no gradient."""
        if not self.loss_tokens:
            return False
        return self.advantage != 0 if self.branch == "policy" else self.teacher_prompt not in ((), self.prompt)


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one batch did. `updated`: False when nothing could be learnt, and no weight was changed. `loss`: of the batch.
    `entropy`: the student's, and `gap`: the absolute difference of trainer's and sampler's log-probabilities, both mean over
    the batch's loss tokens, in nats."""

    updated: bool
    loss: float = 0.0
    grad_norm: float = 0.0
    lr: float = 0.0
    tokens: int = 0
    entropy: float | None = None
    gap: float | None = None


class Learner(Protocol):
    """A model under training, its optimizer and its teacher."""

    def update(self, rows: Sequence[Row]) -> Update:
        """Learn from one batch by one optimizer step, or by none where no row teaches.

        Raises:
            TrainingError: loss or gradient is not finite, or a row does not fit `train.seq_length`.
            ResourceError: out of memory.
        """

    def save(self, folder: Path) -> None:
        """Write all state: a learner that restores it goes on bit for bit as this one."""

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote."""

    def export(self, output: Path) -> None:
        """Write the model directory; the learner is of no use after that."""
