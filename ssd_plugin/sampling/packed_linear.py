"""Linear layers whose weights stand in oneDNN's blocked layout: packed once, where `torch.nn.Linear` packs in every call.

On the CPU a decode step is almost nothing but products of a few dozen rows with large matrices, so packing is a quarter of it.
A row's result is also the same, bit for bit, whatever rows stand beside it, which the default products do not promise.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from ssd_plugin.sampling import heap
from ssd_plugin.sampling.mapped_weights import MappedWeights

ROWS = 64
"""The layout is chosen for products of about this many rows; any other number works, prefill among them."""

TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that models apply to the same activations, by their names in transformers: multiplied as one."""


class _Product:
    """The packed weights of layers that get the same activations. The first that is called with a tensor computes the results of
    all; each of the others finds its own when it is called with that very tensor."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        plain = torch.cat([layer.weight.detach() for layer in layers]) if len(layers) > 1 else layers[0].weight.detach()
        self._weight: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(plain, ROWS)
        self._bias = torch.cat(biases) if biases else None
        self._widths = [layer.out_features for layer in layers]
        self._inputs: torch.Tensor | None = None
        self._waiting: dict[int, torch.Tensor] = {}

    def result(self, index: int, inputs: torch.Tensor) -> torch.Tensor:
        """`inputs` "... in" to the layer's "... out"."""
        if inputs is not self._inputs or index not in self._waiting:
            results = torch.ops.mkldnn._linear_pointwise(inputs, self._weight, self._bias, "none", [], "")
            self._inputs, self._waiting = inputs, dict(enumerate(results.split_with_sizes(self._widths, -1)))
        result = self._waiting.pop(index)
        if not self._waiting:
            self._inputs = None
        return result

    def weight(self, index: int) -> torch.Tensor:
        return self._weight.to_dense().split_with_sizes(self._widths)[index]

    def bias(self, index: int) -> torch.Tensor | None:
        return None if self._bias is None else self._bias.split_with_sizes(self._widths)[index]


class PackedLinear(nn.Module):
    """A drop-in for inference. Holds the packed weights alone."""

    def __init__(self, product: _Product, index: int) -> None:
        super().__init__()
        self._product, self._index = product, index

    @property
    def weight(self) -> torch.Tensor:
        """The weights unpacked, "out in": for code that looks at them; slow."""
        return self._product.weight(self._index)

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias, "out", if there is one."""
        return self._product.bias(self._index)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """`inputs` "... in" to "... out"."""
        return self._product.result(self._index, inputs)


def packed(layers: Sequence[nn.Linear]) -> list[PackedLinear]:
    """Drop-ins for layers that are called with the same activations, and have all a bias or none."""
    product = _Product(layers)
    return [PackedLinear(product, index) for index in range(len(layers))]


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
    """Replace every plain linear layer, one by one, those of `TOGETHER` by parts of one product. The output layer's weights are
    held twice where it shares them with the embedding, which stays as it is. A mapped weights file is let go as it is read, and
    unmapped: the model is never there twice.
    """
    mapped = MappedWeights()
    for parent in list(model.modules()):
        layers = {name: child for name, child in parent.named_children() if type(child) is nn.Linear}
        for names in _groups(layers):
            replaced = [layers[name] for name in names]
            for name, drop_in in zip(names, packed(replaced), strict=True):
                setattr(parent, name, drop_in)
            for layer in replaced:
                mapped.let_go(layer.weight)
            if len(names) > 1:
                heap.release()  # what was joined
    for parameter in model.parameters():
        inside, parameter.data = parameter.data, parameter.data.clone()
        mapped.let_go(inside)


def _groups(layers: Mapping[str, nn.Linear]) -> Iterator[tuple[str, ...]]:
    """The names of the layers, those together that make one product."""
    joined = [names for names in TOGETHER if layers.keys() >= set(names) and _fit([layers[name] for name in names])]
    yield from joined
    yield from ((name,) for name in layers if name not in chain.from_iterable(joined))


def _fit(layers: Sequence[nn.Linear]) -> bool:
    return len({(layer.in_features, layer.bias is None, layer.weight.dtype) for layer in layers}) == 1
