"""Packed weights: the same products, and the weights file is let go."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from ssd_plugin.sampling.packed_linear import PackedLinear, can_pack, pack_linears

needs_packing = pytest.mark.skipif(
    not can_pack(torch.float32, torch.device("cpu")), reason="this processor or build of torch has no packed products"
)


def mapped(directory: Path) -> bool:
    """Whether this process holds a file of the directory in memory."""
    return str(directory) in Path("/proc/self/maps").read_text()


@needs_packing
def test_the_weights_file_is_let_go_and_the_logits_stay(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    ids = torch.tensor([[5, 9, 77, 31]])
    with torch.no_grad():
        before = model(ids).logits.clone()
        assert mapped(tiny_model)  # otherwise there is nothing to show
        pack_linears(model)
        assert not mapped(tiny_model)
        torch.testing.assert_close(model(ids).logits, before, atol=1e-4, rtol=1e-4)
    assert not any(type(module) is nn.Linear for module in model.modules())


@needs_packing
def test_a_rows_product_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    layer = PackedLinear(nn.Linear(96, 64))
    rows = torch.randn(70, 96)
    with torch.inference_mode():
        together = layer(rows)
        for count in (1, 3, 64):
            assert torch.equal(layer(rows[:count]), together[:count])
