"""Linear layers whose weights stand in oneDNN's blocked layout: packed once, where `torch.nn.Linear` packs in every call.

On the CPU a decode step is almost nothing but products of a few dozen rows with large matrices, so packing is a quarter of it.
A row's result is also the same, bit for bit, whatever rows stand beside it, which the default products do not promise.
"""

import platform
from typing import Any

import torch
from torch import nn

from ssd_plugin.sampling.mapped_weights import MappedWeights

ROWS = 64
"""The layout is chosen for products of about this many rows; any other number works, prefill among them."""


class PackedLinear(nn.Module):
    """A drop-in for inference. Holds the packed weights alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)
        self._bias = None if linear.bias is None else linear.bias.detach()

    @property
    def weight(self) -> torch.Tensor:
        """The weights unpacked, "out in": for code that looks at them; slow."""
        return self._packed.to_dense()

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias, "out", if there is one."""
        return self._bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """`inputs` "... in" to "... out"."""
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self._bias, "none", [], "")
        return result


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this processor and this build of torch have packed products of the number format."""
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64") or not has_onednn:
        return False
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype is torch.float32


@torch.no_grad()
def pack_linears(model: Any) -> None:
    """Replace every plain linear layer, one by one. The output layer's weights are held twice where it shares them with the
    embedding, which stays as it is. A mapped weights file is let go as it is read, and unmapped: the model is never there twice.
    """
    mapped = MappedWeights()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, PackedLinear(child))
                mapped.let_go(child.weight)
    for parameter in model.parameters():
        inside, parameter.data = parameter.data, parameter.data.clone()
        mapped.let_go(inside)
