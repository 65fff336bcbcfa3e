"""The clipped policy gradient, its advantages, and the weight of tokens that a slightly different model has sampled."""

import math
from collections.abc import Sequence

import torch

LARGEST_LOG_RATIO = 20.0
"""Differences of log-probabilities are held within this before they become ratios, so that none overflows."""


def group_advantages(rewards: Sequence[float], *, divide_by_std: bool) -> list[float]:
    """Each reward minus the mean of its group (all rollouts of one task, whatever becomes of them), divided by the group's
    standard deviation where that is asked for. A group of equal rewards has advantages of exactly 0.
    """
    if len(set(rewards)) < 2:
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    deviations = [reward - mean for reward in rewards]
    if not divide_by_std:
        return deviations
    std = math.sqrt(math.fsum(d * d for d in deviations) / (len(rewards) - 1))
    return [deviation / std for deviation in deviations]


def sampler_weight(now: torch.Tensor, sampler: torch.Tensor, cap: float) -> torch.Tensor:
    """How much more probable the trainer finds each sampled token than the sampler did, at most `cap`; without a gradient.

    Args:
        now, sampler: log-probabilities of the sampled tokens, "tokens".
    """
    ratio = (now - sampler).detach().clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()
    return ratio.clamp(max=cap)


def clipped_policy(
    now: torch.Tensor, before: torch.Tensor, advantages: torch.Tensor, *, clip_low: float, clip_high: float
) -> torch.Tensor:
    """The loss of each sampled token, -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), where r is its probability now over
    that before the batch's first update (arXiv:1707.06347).

    Args:
        now, before: log-probabilities, "tokens"; `before` has no gradient.
        advantages: "tokens".
    """
    ratio = (now - before.detach()).clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
