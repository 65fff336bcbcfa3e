"""Packed weights: the same products, and the weights file is let go."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from ssd_plugin.sampling.packed_linear import can_pack, pack_linears, packed

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


PEAK = """
import sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama  # not to be counted
from ssd_plugin.sampling.packed_linear import pack_linears

def high_water() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

start = high_water()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
pack_linears(model)
print(high_water() - start)
"""


@needs_packing
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_model_is_never_in_memory_twice(tmp_path: Path) -> None:
    config = LlamaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=4, num_attention_heads=8, vocab_size=512
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.glob("*.safetensors"))
    found = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert size > 200e6
    assert int(found.stdout) < 1.3 * size


@needs_packing
def test_a_rows_product_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    (layer,) = packed([nn.Linear(96, 64)])
    rows = torch.randn(70, 96)
    with torch.inference_mode():
        together = layer(rows)
        for count in (1, 3, 64):
            assert torch.equal(layer(rows[:count]), together[:count])


class Attention(nn.Module):
    """Three layers on the same activations, as transformers names them; the keys are narrower, as with grouped queries."""

    def __init__(self, *, bias: tuple[bool, bool, bool] = (True, True, True), width: int = 96) -> None:
        super().__init__()
        self.q_proj = nn.Linear(96, 64, bias=bias[0])
        self.k_proj = nn.Linear(96, 32, bias=bias[1])
        self.v_proj = nn.Linear(width, 32, bias=bias[2])


@needs_packing
@pytest.mark.parametrize("bias", [(True, True, True), (False, False, False), (True, False, True)])
def test_layers_of_the_same_activations_give_what_each_gives_alone(bias: tuple[bool, bool, bool]) -> None:
    torch.manual_seed(0)
    plain = Attention(bias=bias)
    together = Attention(bias=bias)
    together.load_state_dict(plain.state_dict())
    pack_linears(together)
    first, second = torch.randn(5, 1, 96), torch.randn(7, 1, 96)
    with torch.inference_mode():
        # In any order, one of them twice, and with other activations before all of them were asked.
        for name, rows in (
            ("k", first),
            ("q", first),
            ("q", first),
            ("v", second),
            ("q", second),
            ("v", first),
            ("k", second),
        ):
            alone, packed_layer = getattr(plain, f"{name}_proj"), getattr(together, f"{name}_proj")
            torch.testing.assert_close(packed_layer(rows), alone(rows), atol=1e-5, rtol=1e-5)
    for name in ("q_proj", "k_proj", "v_proj"):
        alone, packed_layer = getattr(plain, name), getattr(together, name)
        assert torch.equal(packed_layer.weight, alone.weight)
        assert (packed_layer.bias is None) is (alone.bias is None)
        assert alone.bias is None or torch.equal(packed_layer.bias, alone.bias)


@needs_packing
def test_layers_of_different_activations_stay_apart() -> None:
    layers = Attention(width=48)
    pack_linears(layers)
    with torch.inference_mode():
        assert layers.q_proj(torch.randn(2, 96)).shape == (2, 64)
        assert layers.v_proj(torch.randn(2, 48)).shape == (2, 32)
