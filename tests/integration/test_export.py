"""What leaves training: a config that fits the weights, and a proof that the exported weights are the trained ones."""

from pathlib import Path

import pytest
import torch

from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.training.export import carry_over
from ssd_plugin.training.megatron.logits import EXACT, ROUNDED, fault, relative_gaps


def carried(folder: Path, config: dict[str, object]) -> Path:
    base, target = folder / "base", folder / "target"
    base.mkdir()
    target.mkdir()
    write_json(base / "config.json", config)
    (base / "chat_template.jinja").write_text("{{ messages }}")
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates/tool_use.jinja").write_text("{{ tools }}")
    (base / "model.safetensors.index.json").write_text("{}")
    carry_over(base, target)
    return target


def test_everything_but_the_weights_is_the_base_models_own(tmp_path: Path) -> None:
    target = carried(tmp_path, {"model_type": "llama", "torch_dtype": "float16"})
    found = sorted(str(file.relative_to(target)) for file in target.rglob("*") if file.is_file())
    assert found == ["additional_chat_templates/tool_use.jinja", "chat_template.jinja", "config.json"]
    assert (target / "config.json").read_bytes() == (tmp_path / "base/config.json").read_bytes()


def test_the_config_of_a_quantised_base_does_not_announce_packed_weights(tmp_path: Path) -> None:
    packed = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    target = carried(tmp_path, {"model_type": "gpt_oss", "quantization_config": packed})
    assert read_json(target / "config.json") == {"model_type": "gpt_oss", "torch_dtype": "bfloat16"}


def logits(tokens: int) -> torch.Tensor:
    return torch.randn(tokens, 50, generator=torch.Generator().manual_seed(1))


def test_a_constant_added_to_a_tokens_logits_is_no_difference() -> None:
    assert float(relative_gaps(logits(9), logits(9) + torch.arange(9)[:, None]).max()) < 1e-6


@pytest.mark.parametrize(
    ("gaps", "exact", "rounded"),
    [
        ([1e-4] * 9, "", ""),
        ([0.02] * 9, "middle token differ by 0.02", ""),
        ([0.02] * 8 + [0.3], "middle token differ by 0.02", ""),  # one token went to another expert
        ([0.02] * 8 + [0.9], "middle token differ by 0.02", "worst token differ by 0.9"),
        ([0.2] * 9, "middle token differ by 0.2", "middle token differ by 0.2"),
        ([0.0] * 8 + [float("nan")], "middle token differ by nan", "middle token differ by nan"),
    ],
)
def test_gaps_beyond_rounding_are_a_fault(gaps: list[float], exact: str, rounded: str) -> None:
    for allowed, said in ((EXACT, exact), (ROUNDED, rounded)):
        found = fault(torch.tensor(gaps), allowed)
        assert said in found
        assert bool(found) == bool(said)
