"""Causal attention inside packs: each example attends to itself alone, with neither mask nor padding."""

import itertools
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

NAME = "ssd_packed"


def packed_attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers (query "1 heads tokens dim", key and value "1 groups tokens dim").

    The caller passes `pack_boundaries` with the model's inputs. Attention runs example by example: what does not attend
    to each other is not computed, where a block mask would compute and discard it. On a CPU it runs in float32, which is more
    exact and, for examples of up to some 300 tokens, faster than torch's bfloat16 kernel: 1.4 to 3.6 times where both are
    native.
    """
    boundaries: list[int] = kwargs["pack_boundaries"]
    dtype = query.dtype
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    outputs = []
    with torch.autocast("cpu", enabled=False):  # which would take float32 back to bfloat16
        for start, end in itertools.pairwise(boundaries):
            part = slice(start, end)
            mask = _window_mask(end - start, kwargs.get("sliding_window"), query.device)
            outputs.append(
                functional.scaled_dot_product_attention(
                    query[:, :, part], key[:, :, part], value[:, :, part],
                    attn_mask=mask, is_causal=mask is None, dropout_p=dropout, scale=scaling,
                )
            )  # fmt: skip
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous().to(dtype), None


def _window_mask(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    if window is None or length <= window:
        return None
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    return (distance >= 0) & (distance < window)


def register() -> None:
    """Make the function known to transformers under `NAME`."""
    AttentionInterface.register(NAME, packed_attention)
