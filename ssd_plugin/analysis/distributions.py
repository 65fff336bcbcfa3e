"""Next-token distributions measured: kept support, entropies, tail mass, and the terms of the paper's loss decomposition.

Arrays hold one row a position; probabilities are natural, entropies and losses in nats.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssd_plugin.metrics.inference import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LossTerms:
    """E_q[-log p] a position, split as the paper does: support + reshaping + alignment + constant. Each "positions"."""

    support: FloatArray  # -log of the mass that p leaves on the kept support S
    reshaping: FloatArray  # (1 - T) H_{1/T}(p(.|S))
    alignment: FloatArray  # T KL(q || p_T(.|S))
    constant: FloatArray  # T H(q)

    @property
    def total(self) -> FloatArray:
        """The cross-entropy itself."""
        return self.support + self.reshaping + self.alignment + self.constant


def kept_tokens(log_p: FloatArray, temperature: float, top_k: int, top_p: float) -> tuple[IntArray, BoolArray]:
    """The tokens that can be drawn at this temperature, top-k, then top-p over the survivors.

    `log_p` is "positions vocab"; returns token ids in falling order of probability ("positions candidates": top-k of them,
    or the whole vocabulary without one) and which of them top-p keeps.
    """
    if 0 < top_k < log_p.shape[1]:
        some = np.argpartition(log_p, -top_k, axis=1)[:, -top_k:]
        inner = np.argsort(-np.take_along_axis(log_p, some, axis=1), axis=1, kind="stable")
        order = np.take_along_axis(some, inner, axis=1)
    else:
        order = np.argsort(-log_p, axis=1, kind="stable")
    ranked = np.take_along_axis(log_p, order, axis=1)
    weights = np.exp((ranked - ranked[:, :1]) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    kept: BoolArray = np.cumsum(weights, axis=1) - weights < top_p
    return order, kept


def top_mass(log_p: FloatArray, tokens: int) -> FloatArray:
    """The mass of the likeliest `tokens` tokens, "positions"."""
    mass: FloatArray = np.exp(np.partition(log_p, -tokens, axis=1)[:, -tokens:]).sum(axis=1)
    return mass


def entropy(log_p: FloatArray) -> FloatArray:
    """Shannon entropy of each row; -inf entries count as zero probability."""
    safe = np.where(np.isfinite(log_p), log_p, 0.0)
    result: FloatArray = -(np.exp(log_p) * safe).sum(axis=1)
    return result


def restrict(log_p: FloatArray, support: BoolArray) -> tuple[FloatArray, FloatArray]:
    """log p(.|S), -inf outside S, and log of the mass on S, "positions"."""
    inside = np.where(support, log_p, -np.inf)
    peak = inside.max(axis=1, keepdims=True)
    mass: FloatArray = (peak + np.log(np.exp(inside - peak).sum(axis=1, keepdims=True)))[:, 0]
    return inside - mass[:, None], mass


def temper(log_p: FloatArray, temperature: float) -> FloatArray:
    """log of p^(1/T), normalised; -inf stays."""
    return restrict(log_p / temperature, np.isfinite(log_p))[0]


def loss_terms(log_p: FloatArray, log_q: FloatArray, temperature: float) -> LossTerms:
    """Decompose the cross-entropy of training `log_p` on draws from `log_q` (both "positions tokens"; S is where q > 0).

    Only S is looked at, so that tokens which cannot be drawn may be left out of both.
    L = -log p(S) + (1 - T) H_{1/T}(p(.|S)) + T KL(q || p_T(.|S)) + T H(q), exact (arXiv:2604.01193); H_a is Renyi's entropy,
    Shannon's at a = 1.
    """
    support = np.isfinite(log_q)
    within, mass = restrict(log_p, support)
    if temperature == 1.0:
        reshaping = np.zeros_like(mass)
    else:
        order = 1.0 / temperature
        renyi = restrict(within * order, support)[1] / (1.0 - order)
        reshaping = (1.0 - temperature) * renyi
    q = np.exp(log_q)
    tempered = temper(within, temperature)
    gap = np.where(support, log_q, 0.0) - np.where(support, tempered, 0.0)
    return LossTerms(
        support=-mass,
        reshaping=reshaping,
        alignment=temperature * (q * gap).sum(axis=1),
        constant=temperature * entropy(log_q),
    )
