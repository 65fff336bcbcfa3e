"""Drawing tokens: temperature, then top-k, then top-p over the survivors, then one uniform number through the inverse CDF."""

import torch

from ssd_plugin.sampling.protocol import SamplingParams


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
    elif params.top_p < 1:
        values, tokens = logits.sort(dim=-1, descending=True, stable=True)
    else:
        values, tokens = logits, torch.arange(vocab, device=logits.device).expand_as(logits)
    probabilities = (values.double() / params.temperature).softmax(-1)
    if params.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= params.top_p, 0.0)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities, tokens


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
