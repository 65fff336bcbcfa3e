"""Options of the frameworks: by the installed version's own names, and none that a setting of ours stands for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin import recipes
from ssd_plugin.config.overrides import apply_overrides, apply_toml, config_from_json, config_to_json
from ssd_plugin.errors import ConfigError
from ssd_plugin.sampling.vllm import check_options
from ssd_plugin.training.megatron.options import lay_over

KNOWN = ["model", "moe_backend", "max_num_seqs", "gpu_memory_utilization", "tensor_parallel_size"]


@dataclass
class Section:
    """As Bridge's are."""

    async_save: bool = False
    save_interval: int = 5


@dataclass
class Container:
    """As Bridge's ConfigContainer is: sections, and what stands beside them."""

    checkpoint: Section = field(default_factory=Section)
    mixed_precision: str = "bf16_mixed"
    dataset: Section = field(default_factory=Section)


def test_vllms_options_are_checked_by_name() -> None:
    check_options({"moe_backend": "triton", "max_num_seqs": 512}, KNOWN)
    with pytest.raises(ConfigError, match=r"engine\.options\.moe_backed is not a known key; did you mean moe_backend"):
        check_options({"moe_backed": "triton"}, KNOWN)
    with pytest.raises(ConfigError, match=r"options\.tensor_parallel_size is what engine\.tensor_parallel stands for"):
        check_options({"tensor_parallel_size": 2}, KNOWN)


def test_bridges_options_are_laid_over_its_configuration() -> None:
    container = Container()
    lay_over(container, {"checkpoint": {"async_save": True}, "mixed_precision": "bf16_with_mxfp8_mixed"})
    assert container.checkpoint.async_save is True
    assert container.mixed_precision == "bf16_with_mxfp8_mixed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": {"async_safe": True}}, r"train\.megatron\.checkpoint\.async_safe is not .* mean async_save"),
        ({"checkpoints": {"async_save": True}}, r"train\.megatron\.checkpoints is not .* mean checkpoint"),
        ({"checkpoint": {"save_interval": 1}}, "save_interval is what a setting of train"),
        ({"checkpoint": True}, r"train\.megatron\.checkpoint = True is not allowed; allowed: a table"),
        ({"dataset": {"async_save": True}}, r"train\.megatron\.dataset is not a known key"),
    ],
)
def test_what_bridge_does_not_know_or_is_ours_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        lay_over(Container(), options)


def test_options_are_settings_like_others(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(
        "[train.megatron.checkpoint]\nasync_save = true\n[engine.options]\nseed_x = 'a'\n"
    )
    config = apply_toml(recipes.load("ssd_qwen3")(), tmp_path / "more.toml")
    texts = [
        "engine.options.max_num_seqs=512",
        "engine.options.moe_backend=triton",
        "train.megatron.ddp.overlap_grad_reduce=true",
    ]
    config = apply_overrides(config, texts)
    assert config.engine.options == {"seed_x": "a", "max_num_seqs": 512, "moe_backend": "triton"}
    assert config.train.megatron == {"checkpoint": {"async_save": True}, "ddp": {"overlap_grad_reduce": True}}
    assert config_from_json(config_to_json(config)) == config
    with pytest.raises(ConfigError, match=r"engine\.options is a table; set one of its values"):
        apply_overrides(config, ["engine.options=1"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["engine.name=embedded", "engine.options.max_num_seqs=1"], r"engine\.options = .* none unless name is vllm"),
        (["train.backend=embedded", "train.megatron.ddp.x=1"], r"train\.megatron = .* none unless backend is megatron"),
    ],
)
def test_options_of_a_framework_that_is_not_used_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides(recipes.load("ssd_qwen3")(), texts)


NODE_SMOKE = Path(__file__).parents[2] / "recipes/sizes/node_smoke.toml"


@pytest.mark.parametrize("name", [name for name in recipes.names() if not name.endswith("smollm2_135m")])
def test_the_smoke_run_of_a_node_changes_sizes_and_nothing_else(name: str) -> None:
    config = recipes.load(name)()
    small = apply_toml(config, NODE_SMOKE)
    assert (small.prompts.limit, small.train.train_iters) == (64, 20)
    assert small.train.save_interval < small.train.train_iters  # a checkpoint is written and one is gone on from
    assert (small.model, small.engine, small.train.parallel) == (config.model, config.engine, config.train.parallel)
    assert small.train.seq_length == config.train.seq_length
    assert small.train.global_batch_size == config.train.global_batch_size
    assert small.gate.policy == "smoke"
