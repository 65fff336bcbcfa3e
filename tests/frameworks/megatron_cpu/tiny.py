"""Tiny random models and examples for the Megatron tests."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
KINDS: dict[str, dict[str, Any]] = {
    "qwen3": {"tie_word_embeddings": True},
    "llama": {"tie_word_embeddings": False},
    "qwen3_moe": {
        "tie_word_embeddings": False, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "decoder_sparse_step": 1, "norm_topk_prob": True,
    },
}  # fmt: skip


def save(target: Path, kind: str, **changes: Any) -> Path:
    """A two-layer model of that kind, in float32, with a byte-level tokenizer (padded to 320 tokens). `changes`: to its
    config."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["def add(a, b): return a + b", "print hello world"] * 9, trainer)
    make: Any = PreTrainedTokenizerFast
    tokenizer = make(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(target)
    shape = {
        "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256,
    }  # fmt: skip
    ends = {"eos_token_id": 2, "pad_token_id": 0, "bos_token_id": None}
    config = AutoConfig.for_model(kind, **shape | ends | KINDS[kind] | changes)
    torch.manual_seed(3)
    factory: Any = AutoModelForCausalLM
    factory.from_config(config).float().save_pretrained(target)
    return target


def write_examples(
    path: Path, count: int = 24, prompt: tuple[int, int] = (4, 20), completion: tuple[int, int] = (8, 40)
) -> Path:
    """Examples with a pattern that can be learnt: the completion counts on from the prompt's last token. `prompt` and
    `completion`: from how many tokens to below how many (the completion's last one comes on top)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(5)
    with path.open("w") as stream:
        for _ in range(count):
            asked = [rng.randrange(3, 250) for _ in range(rng.randrange(*prompt))]
            answer = [3 + (asked[-1] + i) % 250 for i in range(1, rng.randrange(*completion) + 1)] + [2]
            stream.write(json.dumps({"prompt_token_ids": asked, "completion_token_ids": answer}) + "\n")
    return path
