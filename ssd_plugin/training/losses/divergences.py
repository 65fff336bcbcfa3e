"""How far a student's next-token distribution p is from a teacher's q, per token, in nats.

Forward KL is KL(q, p), reverse KL is KL(p, q). The generalised Jensen-Shannon divergence compares both with the mixture
m = (1 - w) p + w q as (1 - w) KL(p, m) + w KL(q, m). It does not become a KL at the ends of w, where it vanishes, so the three
are named and no weight stands for another divergence. Formulas: arXiv:2306.13649, arXiv:2601.20802.
"""

import math
from collections.abc import Callable

import torch

from ssd_plugin.config.methods import DivergenceConfig

LARGEST_MASS = -1e-7
"""Log of the largest mass of the kept tokens: their rest is never exactly nothing, whose logarithm has no gradient."""


def forward_kl(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL(q, p) from log-probabilities, "tokens outcomes" to "tokens"."""
    return (teacher.exp() * (teacher - student)).sum(-1)


def reverse_kl(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL(p, q) from log-probabilities, "tokens outcomes" to "tokens"."""
    return (student.exp() * (student - teacher)).sum(-1)


def jensen_shannon(student: torch.Tensor, teacher: torch.Tensor, teacher_weight: float) -> torch.Tensor:
    """The generalised JSD from log-probabilities; `teacher_weight` is the teacher's share of the mixture, above 0, below 1."""
    mixture = torch.logaddexp(student + math.log1p(-teacher_weight), teacher + math.log(teacher_weight))
    return (1 - teacher_weight) * reverse_kl(student, mixture) + teacher_weight * reverse_kl(teacher, mixture)


def _compared(config: DivergenceConfig) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    if config.divergence == "jsd":
        return lambda student, teacher: jensen_shannon(student, teacher, config.jsd_teacher_weight)
    return forward_kl if config.divergence == "forward_kl" else reverse_kl


def with_tail(log_probs: torch.Tensor) -> torch.Tensor:
    """The log-probabilities of some tokens, and as one more outcome the mass of all others."""
    mass = log_probs.logsumexp(-1, keepdim=True).clamp(max=LARGEST_MASS)
    return torch.cat([log_probs, (-torch.expm1(mass)).log()], dim=-1)


def divergence(
    student: torch.Tensor, teacher: torch.Tensor, tokens: torch.Tensor, config: DivergenceConfig
) -> torch.Tensor:
    """The divergence of each token's distributions, "tokens"; gradients reach the student alone.

    Over the whole vocabulary; or over the student's `top_k` most probable tokens and the mass of all others, which is never
    more than the whole; or on the sampled token alone, whose *gradient* is that of the reverse KL in expectation (its value is
    no divergence).

    Args:
        student, teacher: logits, "tokens vocab".
        tokens: the sampled tokens' ids, "tokens".
    """
    student, teacher = student.log_softmax(-1), teacher.detach().log_softmax(-1)
    if config.support == "sampled_token":
        ours, theirs = (log_probs.gather(-1, tokens[:, None])[:, 0] for log_probs in (student, teacher))
        return (ours - theirs).detach() * ours
    if config.support == "top_k" and config.top_k < student.shape[-1]:
        kept = student.detach().topk(config.top_k, dim=-1).indices
        student, teacher = (with_tail(log_probs.gather(-1, kept)) for log_probs in (student, teacher))
    return _compared(config)(student, teacher)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """The entropy of each token's distribution in nats, "tokens vocab" to "tokens"."""
    log_probs = logits.log_softmax(-1)
    return -(log_probs.exp() * log_probs).sum(-1)
