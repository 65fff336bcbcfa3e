"""Drawing tokens: temperature, then top-k, then top-p over the survivors, then one uniform number through the inverse CDF."""

import torch
from torch import nn

from ssd_plugin.sampling.protocol import SamplingParams

NUCLEUS = 256
"""Of this many most probable tokens top-p is tried first: they hold it almost always, and sorting a whole vocabulary costs as
much as the model does."""


def truncated(logits: torch.Tensor, params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
    """The distribution that `params` (temperature above 0) draws from.

    Args:
        logits: "rows vocab".

    Returns:
        Probabilities ("rows kept", float64, each row sums to 1, zero beyond top-p) and their token ids ("rows kept"). With
        truncation the tokens stand in order of falling probability.
    """
    vocab = logits.shape[-1]
    if params.top_k and params.top_k < vocab:
        values, tokens = logits.topk(params.top_k, dim=-1)
        return _nucleus(_softmax(values, params), params.top_p), tokens
    probabilities = _softmax(logits, params)
    if params.top_p == 1:
        return probabilities, torch.arange(vocab, device=logits.device).expand_as(logits)
    kept, tokens = probabilities.topk(min(NUCLEUS, vocab), dim=-1)
    wide = kept.sum(-1) < params.top_p
    if wide.any():  # these rows alone, so that no row's result depends on its neighbours
        whole, order = probabilities[wide].sort(dim=-1, descending=True, stable=True)
        kept, tokens = (nn.functional.pad(part, (0, vocab - part.shape[-1])) for part in (kept, tokens))
        kept[wide], tokens[wide] = whole, order
    return _nucleus(kept, params.top_p), tokens


def _softmax(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    return (logits.double() / params.temperature).softmax(-1)


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The first of these falling probabilities until they hold `top_p`, made to sum to 1; zeros behind them change nothing."""
    if top_p == 1:
        return probabilities
    cumulative = probabilities.cumsum(-1)
    inside = cumulative - probabilities < top_p
    total = (cumulative * inside).amax(-1, keepdim=True)
    return probabilities * inside / total


def draw(logits: torch.Tensor, params: SamplingParams, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row, and its log-probability (nats) under the distribution it was drawn from (0 when greedy).

    A row's token depends on its own logits and its own uniform number alone, never on its neighbours.

    Args:
        logits: "rows vocab".
        uniforms: "rows", float64 in [0, 1); not used when greedy.
    """
    if params.temperature == 0:
        tokens = logits.argmax(-1)
        return tokens, torch.zeros(len(tokens), dtype=torch.float64, device=logits.device)
    probabilities, candidates = truncated(logits, params)
    cumulative = probabilities.cumsum(-1)
    index = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(-1, keepdim=True)
    if params.top_p < 1:  # rounding must not carry a draw beyond the last token that top-p kept
        index = index.clamp(max=(probabilities > 0).sum(-1, keepdim=True) - 1)
    index = index.clamp(max=probabilities.shape[-1] - 1)
    return candidates.gather(-1, index)[:, 0], probabilities.gather(-1, index)[:, 0].log()
