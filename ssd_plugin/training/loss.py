"""Cross-entropy at labelled positions alone, without ever holding the logits of more than a few hundred of them."""

from typing import Any

import torch
from torch.nn import functional

CHUNK_ELEMENTS = 2**25
"""Logits held at once (128 MiB in float32)."""


Gradients = tuple[torch.Tensor | None, torch.Tensor | None, None, None]
"""With respect to hidden states and output embedding; nothing for the other two arguments of a chunked loss."""


def add_to_weight(grad_weight: torch.Tensor, gradient: torch.Tensor, inputs: torch.Tensor) -> None:
    """Add a chunk's part ("tokens vocab" by "tokens width") to the output embedding's gradient ("vocab width")."""
    if inputs.dtype == grad_weight.dtype:
        grad_weight.addmm_(gradient.T, inputs)
    else:
        grad_weight.add_(gradient.T @ inputs)


def scaled(saved: tuple[torch.Tensor | None, ...], grad_outputs: tuple[torch.Tensor, ...]) -> Gradients:
    """The gradients that the forward pass saved, times the gradient of the sum."""
    (scale,), (grad_hidden, grad_weight) = grad_outputs, saved
    return (
        None if grad_hidden is None else grad_hidden * scale,
        None if grad_weight is None else grad_weight.mul_(scale),
        None,
        None,
    )


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients chunk by chunk during the forward pass, so that no chunk's logits are kept or made twice
    (the way of Liger Kernel's fused linear cross-entropy, arXiv:2410.10989)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        rows = max(1, CHUNK_ELEMENTS // weight.shape[0])
        matrix = weight.to(dtype)
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            inputs, targets = hidden[part].to(dtype), labels[part, None]
            logits = functional.linear(inputs, matrix).float()
            log_total = logits.logsumexp(-1, keepdim=True)
            total += (log_total - logits.gather(-1, targets)).sum(dtype=torch.float64)
            gradient = (
                logits.sub_(log_total).exp_().scatter_add_(-1, targets, torch.full_like(log_total, -1.0)).to(dtype)
            )
            if grad_hidden is not None:
                grad_hidden[part] = gradient @ matrix
            if grad_weight is not None:
                add_to_weight(grad_weight, gradient, inputs)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Gradients:
        return scaled(ctx.saved_tensors, grad_outputs)


def chunked_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """The summed negative log-likelihood (nats) of `labels`; may be differentiated once.

    Args:
        hidden: "labels width", the last hidden states that predict them.
        weight: "vocab width", the output embedding.
        labels: "labels", token ids.
        dtype: of the matrix products; sums are float32 or better.
    """
    total: torch.Tensor = _ChunkedCrossEntropy.apply(hidden, weight, labels, dtype)  # type: ignore[no-untyped-call]
    return total
