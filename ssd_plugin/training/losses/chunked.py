"""A sum of per-token losses on the logits of hidden states, without ever holding the logits of more than a few hundred tokens."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ssd_plugin.training.loss import Gradients, add_to_weight, scaled

CHUNK_ELEMENTS = 2**23
"""Logits held at once, of each model (32 MiB in float32)."""

LossOf = Callable[[torch.Tensor, slice], torch.Tensor]
"""From the logits ("tokens vocab", float32 or better) of the tokens in a slice, the loss of each ("tokens")."""


class _ChunkedSum(torch.autograd.Function):
    """Computes the gradients chunk by chunk during the forward pass, so that no chunk's logits outlive it."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, loss_of: LossOf, dtype: torch.dtype
    ) -> torch.Tensor:
        matrix = weight.to(dtype)
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for part in chunks(len(hidden), len(weight)):
            inputs = hidden[part].to(dtype)
            logits = _raised(functional.linear(inputs, matrix)).requires_grad_()
            with torch.enable_grad():
                losses = loss_of(logits, part)
                (gradient,) = torch.autograd.grad(losses.sum(), logits)
            total += losses.detach().sum(dtype=torch.float64)
            gradient = gradient.to(dtype)
            if grad_hidden is not None:
                grad_hidden[part] = (gradient @ matrix).to(hidden.dtype)
            if grad_weight is not None:
                add_to_weight(grad_weight, gradient, inputs)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total.to(torch.promote_types(hidden.dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Gradients:
        return scaled(ctx.saved_tensors, grad_outputs)


def chunks(tokens: int, vocabulary: int) -> list[slice]:
    """Slices of tokens whose logits have at most `CHUNK_ELEMENTS` elements (one token at least)."""
    rows = max(1, CHUNK_ELEMENTS // vocabulary)
    return [slice(start, start + rows) for start in range(0, tokens, rows)]


def logits_of(hidden: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Logits of some tokens, in float32 or better. Products are computed in `dtype`."""
    return _raised(functional.linear(hidden.to(dtype), weight.to(dtype)))


def _raised(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def chunked_sum(hidden: torch.Tensor, weight: torch.Tensor, loss_of: LossOf, dtype: torch.dtype) -> torch.Tensor:
    """The sum of all tokens' losses; may be differentiated once, with respect to `hidden` and `weight`.

    Args:
        hidden: "tokens width", the hidden states that predict the tokens.
        weight: "vocab width", the output embedding.
        loss_of: called once per chunk, in order.
        dtype: of the matrix products.
    """
    total: torch.Tensor = _ChunkedSum.apply(hidden, weight, loss_of, dtype)  # type: ignore[no-untyped-call]
    return total
