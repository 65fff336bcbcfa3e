"""Overrides: right ones arrive, wrong ones are named by their path with what is allowed."""

from pathlib import Path

import pytest

from ssd_plugin.config.overrides import apply_overrides, apply_toml
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods import method_of
from ssd_plugin.recipes import load


@pytest.fixture
def config() -> RunConfig:
    return load("ssd_qwen3")()


def test_overrides_arrive_typed(config: RunConfig) -> None:
    changed = apply_overrides(
        config,
        [
            "sampling.temperature=1.4",
            "train.max_lr=3e-6",
            "select.temperatures=0.5,1",
            "filters.drop_loops=true",
            "seed=7",
        ],
    )
    assert (changed.sampling.temperature, changed.train.max_lr) == (1.4, 3e-6)
    assert (changed.select.temperatures, changed.filters.drop_loops, changed.seed) == ((0.5, 1.0), True, 7)
    assert changed.sampling.top_k == config.sampling.top_k


def test_values_that_depend_on_each_other_change_together(config: RunConfig) -> None:
    changed = apply_overrides(config, ["train.max_lr=1e-7", "train.min_lr=1e-8"])
    assert changed.train.min_lr == 1e-8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.temperatur=1", "sampling.temperatur is not a known key; did you mean temperature"),
        ("smpling.temperature=1", "smpling is not a known key; did you mean sampling"),
        ("sampling.temperature=hot", "sampling.temperature = 'hot' is not allowed; allowed: a number"),
        ("sampling.temperature=9", "sampling.temperature = 9.0 is not allowed; allowed: 0"),
        ("sampling.temperature=nan", "sampling.temperature = nan is not allowed"),
        ("sampling.temperature=0", "sampling.temperature = 0.0 is not allowed; allowed: above 0"),
        ("sampling.top_p=0", "sampling.top_p = 0.0 is not allowed"),
        ("sampling.top_k=-1", "sampling.top_k = -1 is not allowed"),
        ("sampling.top_k=2.5", "sampling.top_k = '2.5' is not allowed; allowed: a whole number"),
        ("filters.drop_loops=maybe", "filters.drop_loops = 'maybe' is not allowed; allowed: true or false"),
        ("engine.name=llama", "engine.name = 'llama' is not allowed; allowed: 'embedded', 'vllm', 'server'"),
        ("engine.name=server", "engine.server_url = '' is not allowed"),
        ("train.parallel.tensor=0", "train.parallel.tensor = 0 is not allowed"),
        ("train.warmup_iters=2500", "train.warmup_iters = 2500 is not allowed"),
        ("train.method=lora", "train.method = 'lora' is not allowed; allowed: full with the megatron backend"),
        ("train.min_lr=1", "train.min_lr = 1.0 is not allowed"),
        ("select.temperatures=", r"select.temperatures = \(\) is not allowed"),
        ("select.temperatures=1,1", "select.temperatures = .* is not allowed; allowed: each one once"),
        ("select.data.source=livecodebench:v6", "select.data = .* another split"),
        ("sampling=1", "sampling is a section; set one of: sampling.temperature"),
        ("seed", "write section.key=value"),
    ],
)
def test_a_bad_override_is_named(config: RunConfig, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides(config, [override])


def test_a_setting_is_not_a_table_and_a_value(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"override 'train\.megatron\.a\.b=2': a is set to a value as well"):
        apply_overrides(config, ["train.megatron.a=1", "train.megatron.a.b=2"])


def test_the_fixed_point_is_refused(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"sampling\.temperature = 1 without truncation is a fixed point"):
        method_of(apply_overrides(config, ["sampling.temperature=1", "sampling.top_k=0", "sampling.top_p=1"]))
    assert method_of(apply_overrides(config, ["sampling.temperature=1"])).name == "ssd"


def test_a_toml_file_is_laid_over(config: RunConfig, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("seed = 3\n[sampling]\ntemperature = 1.2\n[train.parallel]\ntensor = 4\n")
    changed = apply_toml(config, file)
    assert (changed.seed, changed.sampling.temperature, changed.train.parallel.tensor) == (3, 1.2, 4)
    assert changed.train.parallel.expert == config.train.parallel.expert


@pytest.mark.parametrize(
    "text", ["[sampling]\nheat = 1\n", "not toml", "[sampling]\ntemperature = 'x'\n", "sampling = 1\n"]
)
def test_a_bad_toml_file_is_refused(config: RunConfig, tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        apply_toml(config, file)
    with pytest.raises(ConfigError, match=r"none\.toml"):
        apply_toml(config, tmp_path / "none.toml")
