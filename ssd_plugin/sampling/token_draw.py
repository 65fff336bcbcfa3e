"""Drawing tokens: temperature, then top-k, then top-p over the survivors, then one uniform number through the inverse CDF.

A vocabulary has a hundred thousand tokens and a draw needs a few of them, so nothing here sorts it, or goes through it in
float64, unless a row's own distribution leaves no other way.
"""

import math

import torch
from torch import nn

from ssd_plugin.sampling.protocol import SamplingParams

NUCLEUS = 64
"""Of this many most probable tokens top-p is tried first, then of `WIDER` times as many, until they hold it."""
WIDER = 16

LEAST = 1e-34
"""A weight below this is zero: float32 has but denormal numbers left there, ten times as slow."""

BLOCK = 64
"""Tokens that are looked at as one, by their highest logit or their summed weight, before one by one."""


def truncated(logits: torch.Tensor, params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
    """The distribution that `params` (temperature above 0, top-k or top-p in use) draws from.

    Args:
        logits: "rows vocab", float32.

    Returns:
        Probabilities ("rows kept", float64, each row sums to 1, zero beyond top-p) and their token ids ("rows kept"), in
        order of falling probability.
    """
    if params.top_k and params.top_k < logits.shape[-1]:
        values, tokens = _highest(logits, params.top_k)
        probabilities = (values.double() / params.temperature).softmax(-1)
    else:
        probabilities, tokens = _most_probable(logits, params, _weights(logits, params).sum(-1).double())
    if params.top_p == 1:
        return probabilities, tokens
    cumulative = probabilities.cumsum(-1)
    inside = cumulative - probabilities < params.top_p
    total = (cumulative * inside).amax(-1, keepdim=True)  # the first that hold top-p, made to sum to 1
    return probabilities * inside / total, tokens


def _weights(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """What the probabilities of a row are in proportion to; 1 for the most probable token."""
    scaled = (logits - logits.amax(-1, keepdim=True)).div_(params.temperature)
    weights = scaled.clamp_(min=math.log(LEAST) - 1).exp_()
    return nn.functional.threshold(weights, LEAST, 0.0, inplace=True)


def _most_probable(
    logits: torch.Tensor, params: SamplingParams, totals: torch.Tensor, count: int = NUCLEUS
) -> tuple[torch.Tensor, torch.Tensor]:
    """So many of the most probable tokens that they hold `top_p`, with their probabilities; zeros where a row needs fewer
    than its neighbours. `totals`: the sum of each row's weights."""
    count = min(count, logits.shape[-1])
    values, tokens = _highest(logits, count)
    scaled = (values.double() - values[:, :1].double()) / params.temperature
    kept = scaled.exp() / totals[:, None]
    wide = kept.sum(-1) < params.top_p
    if count < logits.shape[-1] and wide.any():  # these rows alone, so that no row's result depends on its neighbours
        more, order = _most_probable(logits[wide], params, totals[wide], WIDER * count)
        kept, tokens = (nn.functional.pad(part, (0, more.shape[-1] - count)) for part in (kept, tokens))
        kept[wide], tokens[wide] = more, order
    return kept, tokens


def _highest(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` highest logits of a row in falling order, and their tokens: they lie in the `count` blocks whose own highest
    logits are highest."""
    rows, vocab = logits.shape
    if vocab % BLOCK or 2 * count * BLOCK > vocab:
        values, tokens = logits.topk(count, dim=-1)
        return values, tokens
    blocks = logits.view(rows, -1, BLOCK)
    chosen = blocks.amax(-1).topk(count, dim=-1).indices
    candidates = blocks.gather(1, chosen[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    values, places = candidates.topk(count, dim=-1)
    return values, chosen.gather(1, places // BLOCK) * BLOCK + places % BLOCK


def draw(
    logits: torch.Tensor, params: SamplingParams, uniforms: torch.Tensor, lanes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row, and its log-probability (nats) under the distribution it was drawn from (0 when greedy).

    A row's token depends on its own lane's logits and its own uniform number alone, never on its neighbours.

    Args:
        logits: "lanes vocab", float32.
        uniforms: "rows", float64 in [0, 1); not used when greedy.
        lanes: "rows", the lane that each row draws from.
    """
    if params.temperature == 0:
        tokens = logits.argmax(-1)[lanes]
        return tokens, torch.zeros(len(tokens), dtype=torch.float64, device=logits.device)
    if not params.top_k and params.top_p == 1:
        return _draw_from_all(logits, params, uniforms[:, None], lanes)
    probabilities, candidates = (part[lanes] for part in truncated(logits, params))
    cumulative = probabilities.cumsum(-1)
    index = _invert(cumulative, uniforms[:, None] * cumulative[:, -1:])
    return candidates.gather(-1, index)[:, 0], probabilities.gather(-1, index)[:, 0].log()


def _draw_from_all(
    logits: torch.Tensor, params: SamplingParams, uniforms: torch.Tensor, lanes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`draw` without truncation: first the block of tokens, then the token in it."""
    weights = _weights(logits, params)
    if missing := -logits.shape[-1] % BLOCK:
        weights = nn.functional.pad(weights, (0, missing))
    blocks = weights.view(len(logits), -1, BLOCK)
    sums = blocks.sum(-1).double()
    cumulative = sums.cumsum(-1)[lanes]
    target = uniforms * cumulative[:, -1:]
    block = _invert(cumulative, target)
    before = cumulative.gather(-1, block) - sums[lanes].gather(-1, block)
    index = _invert(blocks[lanes, block[:, 0]].double().cumsum(-1), target - before)
    tokens = (block * BLOCK + index)[:, 0]
    return tokens, (weights[lanes, tokens].double() / cumulative[:, -1]).log()


def _invert(cumulative: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The first place beyond `target` ("rows 1") in each row of a rising sum; rounding never carries it past the last one
    that adds anything."""
    return ((cumulative <= target) & (cumulative < cumulative[:, -1:])).sum(-1, keepdim=True)
