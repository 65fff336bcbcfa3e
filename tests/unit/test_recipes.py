"""Every recipe builds offline and holds the paper's figures."""

import dataclasses
import json

import pytest

from ssd_plugin.config.overrides import config_from_json, config_to_json
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods import METHODS
from ssd_plugin.recipes import load, names

# arXiv:2604.01193, table of settings and experimental setup:
# base model, T_train, top-k, top-p, T_eval, top-k, top-p, base decode (T, k, p), iterations, warm-up, checkpoint every
INSTRUCT, THINKING = (2500, 250, 250), (300, 50, 50)
PAPER = {
    "ssd_llama31_8b_instruct": (
        "meta-llama/Llama-3.1-8B-Instruct",
        0.8,
        20,
        0.8,
        0.7,
        20,
        0.8,
        (0.9, 0, 0.8),
        INSTRUCT,
    ),
    "ssd_qwen3_4b_instruct": ("Qwen/Qwen3-4B-Instruct-2507", 1.6, 20, 0.8, 1.1, 20, 0.8, (0.7, 20, 0.8), INSTRUCT),
    "ssd_qwen3_4b_thinking": ("Qwen/Qwen3-4B-Thinking-2507", 1.1, 20, 0.95, 0.7, 20, 0.95, (0.6, 20, 0.95), THINKING),
    "ssd_qwen3_30b_a3b_instruct": (
        "Qwen/Qwen3-30B-A3B-Instruct-2507",
        1.6,
        20,
        0.8,
        0.9,
        20,
        0.8,
        (0.7, 20, 0.8),
        INSTRUCT,
    ),
    "ssd_qwen3_30b_a3b_thinking": (
        "Qwen/Qwen3-30B-A3B-Thinking-2507",
        1.2,
        20,
        0.95,
        0.7,
        20,
        0.95,
        (0.6, 20, 0.95),
        THINKING,
    ),
    "ssd_gpt_oss_20b": ("openai/gpt-oss-20b", 1.2, 0, 1.0, 1.0, 20, 0.95, (1.0, 0, 1.0), None),
}
EMBEDDED = {f"{method}_smollm2_135m" for method in METHODS}


def test_the_promised_names_are_all_there() -> None:
    assert set(names()) == {*PAPER, "ssd_qwen3", *EMBEDDED}


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_holds_the_papers_figures(name: str) -> None:
    ref, t_train, k, p, t_eval, k_eval, p_eval, base, iterations = PAPER[name]
    config = load(name)()
    assert config.recipe == name
    assert config.model.ref == ref
    assert (config.sampling.temperature, config.sampling.top_k, config.sampling.top_p) == (t_train, k, p)
    assert t_eval in config.select.temperatures
    assert len(config.select.temperatures) > 1, "T_eval is selected, not taken over from the paper's test set"
    assert (config.select.top_k, config.select.top_p) == (k_eval, p_eval)
    decode = config.evaluate.base
    assert (decode.temperature, decode.top_k, decode.top_p) == base
    train = config.train
    if iterations is not None:
        assert (train.train_iters, train.warmup_iters, train.save_interval) == iterations
    assert (train.max_lr, train.min_lr) == (5e-6, 1e-6)
    assert (train.adam_beta1, train.adam_beta2, train.weight_decay) == (0.9, 0.95, 0.1)
    assert (train.global_batch_size, train.seq_length) == (32, 65_536)
    assert config.evaluate.samples_per_task == 10
    assert config.engine.max_model_len == 131_072
    moe = "a3b" in name or "gpt_oss" in name
    assert train.parallel.expert == (8 if moe else 1)
    assert config.prompts.source == "hub:microsoft/rStar-Coder"
    assert config.prompts.deduplicate
    filters = config.filters
    assert (filters.drop_empty, filters.drop_single_line_stubs) == (True, True)
    assert filters.drop_shortest_fraction == 0
    assert not filters.drop_truncated
    assert not filters.drop_loops


def test_the_headline_recipe_is_the_30b_instruct_model() -> None:
    headline, model = load("ssd_qwen3")(), load("ssd_qwen3_30b_a3b_instruct")()
    assert dataclasses.replace(headline, recipe=model.recipe) == model


@pytest.mark.parametrize("name", [*PAPER, "ssd_qwen3", *sorted(EMBEDDED)])
def test_a_config_survives_its_json(name: str) -> None:
    config = load(name)()
    assert config_from_json(json.loads(json.dumps(config_to_json(config)))) == config


def test_a_misspelt_recipe_is_told_the_nearest_names() -> None:
    with pytest.raises(ConfigError, match=r"did you mean .*ssd_qwen3_4b_instruct"):
        load("ssd_qwen3_4b_instruc")
    with pytest.raises(ConfigError, match="no recipe"):
        load("paper")
