"""The clipped policy gradient, and the weight of tokens that a slightly different model has sampled."""

import torch

LARGEST_LOG_RATIO = 20.0
"""Differences of log-probabilities are held within this before they become ratios, so that none overflows."""


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
