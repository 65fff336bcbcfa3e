"""The loss of a batch: what its teacher tokens and its policy tokens add, in any split into micro-batches.

Every token carries its own share of the batch (`share`: one over the batch's tokens, or over its row's tokens and the batch's
rows), so that sums over micro-batches are the batch's loss however it is split, and both kinds of tokens stand over one
denominator without a weight between them (arXiv:2604.02288).
"""

from dataclasses import dataclass
from typing import Literal

import torch

from ssd_plugin.config.methods import DivergenceConfig, GrpoConfig
from ssd_plugin.training.losses.chunked import chunked_sum, chunks, logits_of
from ssd_plugin.training.losses.divergences import divergence, entropy
from ssd_plugin.training.losses.policy import clipped_policy, sampler_weight


@dataclass(frozen=True, kw_only=True)
class Objective:
    """How tokens become losses: `teacher` for those that are compared with a teacher, `policy` for those that are rewarded.
    `per`: whether all of a batch's tokens weigh the same, or all of its rows. `entropy_weight`: how fast a teacher token's weight
    falls with the teacher's entropy. `temperature`: of the rollouts; logits are divided by it first, as the sampler's were.
    `dtype`: of the output layer's products."""

    teacher: DivergenceConfig | None = None
    policy: GrpoConfig | None = None
    ratio_cap: float
    per: Literal["tokens", "rows"] = "tokens"
    entropy_weight: float = 0.0
    temperature: float = 1.0
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Sampled tokens of one kind, all fields "tokens": ids, the sampler's log-probabilities, each token's share of the batch,
    and its advantage (policy) or weight (teacher)."""

    ids: torch.Tensor
    sampler: torch.Tensor
    share: torch.Tensor
    value: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class States:
    """Hidden states "tokens width" and the output embedding "vocab width" that turns them into logits; `factor` multiplies
    these."""

    hidden: torch.Tensor
    weight: torch.Tensor
    factor: float = 1.0


@dataclass(kw_only=True)
class Observed:
    """Sums over tokens that were seen on the way: the student's entropy, the absolute difference of sampler's and trainer's
    log-probabilities, and how many tokens that is."""

    tokens: int = 0
    entropy: float = 0.0
    gap: float = 0.0

    def add(self, logits: torch.Tensor, now: torch.Tensor, sampler: torch.Tensor) -> None:
        """Count a chunk: logits "tokens vocab", log-probabilities "tokens"."""
        self.tokens += len(now)
        self.entropy += float(entropy(logits.detach()).sum())
        self.gap += float((now.detach() - sampler).abs().sum())


def _log_probs(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return logits.gather(-1, ids[:, None])[:, 0] - logits.logsumexp(-1)


def policy_loss(student: States, tokens: Tokens, objective: Objective, observed: Observed) -> torch.Tensor:
    """What policy tokens add to the batch's loss. With one update a batch, the weights that sampled are those of now, and the
    ratio that is clipped is exactly 1 in value."""
    settings = objective.policy
    if settings is None:
        raise ValueError("policy tokens need an objective with policy settings")

    def loss_of(logits: torch.Tensor, part: slice) -> torch.Tensor:
        now = _log_probs(logits / objective.temperature, tokens.ids[part])
        observed.add(logits / objective.temperature, now, tokens.sampler[part])
        losses = clipped_policy(
            now, now.detach(), tokens.value[part], clip_low=settings.clip_low, clip_high=settings.clip_high
        )
        return losses * sampler_weight(now, tokens.sampler[part], objective.ratio_cap) * tokens.share[part]

    return chunked_sum(student.hidden, student.weight, loss_of, objective.dtype)


def teacher_logits(teacher: list[States], part: slice, objective: Objective) -> torch.Tensor:
    """The teacher's logits, "tokens vocab": a weighted sum of models' (log-linear mixture), over the rollouts' temperature."""
    total = sum(one.factor * logits_of(one.hidden[part], one.weight, objective.dtype) for one in teacher)
    return torch.as_tensor(total) / objective.temperature


def teacher_loss(
    student: States, teacher: list[States], tokens: Tokens, objective: Objective, observed: Observed
) -> torch.Tensor:
    """What teacher tokens add to the batch's loss."""
    settings = objective.teacher
    if settings is None:
        raise ValueError("teacher tokens need an objective with a divergence")

    def loss_of(logits: torch.Tensor, part: slice) -> torch.Tensor:
        logits = logits / objective.temperature
        now = _log_probs(logits, tokens.ids[part])
        observed.add(logits, now, tokens.sampler[part])
        with torch.no_grad():
            theirs = teacher_logits(teacher, part, objective)
        losses = divergence(logits, theirs, tokens.ids[part], settings)
        weight = sampler_weight(now, tokens.sampler[part], objective.ratio_cap) * tokens.value[part]
        return losses * weight * tokens.share[part]

    return chunked_sum(student.hidden, student.weight, loss_of, objective.dtype)


@torch.no_grad()
def confidence(teacher: list[States], objective: Objective, beta: float) -> torch.Tensor:
    """exp(-beta x the teacher's entropy) of each token, "tokens"; divide by the batch's mean for weights whose mean is 1."""
    count, vocabulary = len(teacher[0].hidden), len(teacher[0].weight)
    parts = [entropy(teacher_logits(teacher, part, objective)) for part in chunks(count, vocabulary)]
    return (-beta * torch.cat(parts)).exp() if parts else teacher[0].hidden.new_zeros(0)
