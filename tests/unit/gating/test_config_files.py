"""Configurations that have a loader fetch or run something are refused by name; those of published models pass."""

import json
from typing import Any

import pytest

from ssd_plugin.gating.config_files import remote_parts

PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen3": {
        "_name_or_path": "Qwen/Qwen3-8B",
        "architectures": ["Qwen3ForCausalLM"],
        "rope_scaling": None,
        "torch_dtype": "bfloat16",
        "_attn_implementation_autoset": True,
    },
    "Llama 3.1": {"rope_scaling": {"factor": 8.0, "rope_type": "llama3"}, "eos_token_id": [128001, 128008]},
    "gpt-oss": {
        "quantization_config": {"modules_to_not_convert": ["model.layers.*.self_attn"], "quant_method": "mxfp4"},
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "SmolLM2": {
        "_name_or_path": "HuggingFaceTB/SmolLM2-135M-intermediate",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}, "dtype": "q4"},
    },
    "Nemotron": {"hybrid_override_pattern": "M-M--M*-", "use_mamba_kernels": True, "conv_kernel": 4},
    "implementations": {"attn_implementation": {"text_config": "sdpa", "": "eager"}, "experts_implementation": None},
    "classifier": {"id2label": {"0": "and/or"}, "label2id": {"and/or": 0}},
    "tokens": {"added_tokens_decoder": {"7": {"content": "a/b"}}, "unk_token": "//", "chat_template": "a/b"},
    "saved by older releases": {
        "special_tokens_map_file": "/content/x/special_tokens_map.json",
        "tokenizer_file": None,
    },
    "stops": {"stop_strings": ["//", "</s>"]},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_pass(name: str) -> None:
    assert list(remote_parts(PUBLISHED[name], "config.json")) == []


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("nest", [lambda v: v, lambda v: {"text_config": v}, lambda v: {"a": [{"vision_config": v}]}])
@pytest.mark.parametrize(
    "value",
    [
        {"auto_map": {"AutoModel": "m.M"}},
        {"AUTO_MAP": {"AutoModel": "m.M"}},
        {"custom_generate": "here"},
        {"custom_pipelines": {"x": {}}},
        {"kernel_config": {"RMSNorm": "x"}},
        {"attn_implementation": "evil-org/evil-kernel"},
        {"_attn_implementation": "evil/kernel@main:function"},
        {"_attn_implementation_internal": "evil/kernel"},
        {"attn_implementation": "paged|evil/kernel"},
        {"attn_implementation": {"text_config": "evil/kernel"}},
        {"attn_implementation": ["evil/kernel"]},
        {"experts_implementation": "evil"},
        {"quantization_config": {"quant_method": "evil"}},
        {"quantization_config": {"quant_method": ["awq"]}},
        {"part": "org/name"},
        {"part": " org/name "},
        {"part": ["https://host.example/x"]},
        {"part": "hf://org/name"},
        {"part": "../other"},
        {"part": "/etc/passwd"},
        {"part": "a\\b"},
        {"part": "org--module.Class"},
        {"base_model_name_or_path": "org/name"},
        {"part": "https://host.example/a b"},
        {"part": "~/a folder"},
        {"part": "/a folder"},
        {"part": ".."},
        {"tokenizer_file": "/tmp/other.json"},
        {"tokenizer_file": "other.json"},
        {"vocab_file": "other.txt"},
        {"use_pretrained_backbone": True},
        {"id2label": {"auto_map": {"AutoModel": "m.M"}}},
        {"draft_token": {"auto_map": {"AutoModel": "m.M"}}},
    ],
)
def test_what_names_a_place_or_code_is_refused_at_any_depth(value: dict[str, Any], nest: Any, file: str) -> None:
    found = list(remote_parts(nest(value), file))
    assert found
    assert next(iter(value)) in found[0]


def test_parts_of_a_model_may_not_name_their_origin() -> None:
    assert list(remote_parts({"text_config": {"_name_or_path": "org/name"}}, "config.json"))
    assert list(remote_parts({"_name_or_path": {"x": "org/name"}}, "config.json"))


def test_token_texts_are_not_taken_for_keys() -> None:
    vocabulary = json.loads('{"auto_map": 5, "custom_x": 6, "a/b": 7}')
    assert list(remote_parts(vocabulary, "vocab.json")) == []
    assert list(remote_parts({"model": {"vocab": vocabulary, "merges": ["a / b"]}}, "tokenizer.json")) == []
    assert list(remote_parts({"auto_map": {"AutoTokenizer": ["t.T", None]}}, "tokenizer.json"))
