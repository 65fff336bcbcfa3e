"""Tiny random models with a real tokenizer and chat template, made once a session."""

from pathlib import Path
from typing import Any

import pytest

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}BODY{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = CHATML.replace("BODY", "{{ m['content'] + '<|im_end|>' }}")
TAGGED = CHATML.replace(
    "BODY",
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}",
)
CORPUS = [
    "def add(a, b):\n    return a + b\n",
    "Write a Python function that reverses a string.",
    "```python\nfor i in range(10):\n",
]


def save_tokenizer(target: Path, template: str | None) -> int:
    """A byte-level BPE tokenizer with ChatML's special tokens; returns the vocabulary's size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(target)
    return inner.get_vocab_size()


def save_model(target: Path, kind: str, template: str | None = PLAIN, **changes: Any) -> Path:
    """A random two-layer model of an architecture ("llama", "qwen3") as a directory that passes `check_model_dir`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    vocabulary = save_tokenizer(target, template)
    settings: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.4,
        "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 2, "tie_word_embeddings": kind == "llama",
    }  # fmt: skip
    torch.set_num_threads(1)  # two threads gain nothing on models this small, and lose much on a busy machine
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings | changes), dtype=torch.float32)
    model.generation_config.eos_token_id = [2, 0]
    model.save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tied embeddings, template without generation tags."""
    return save_model(tmp_path_factory.mktemp("tiny") / "llama", "llama")


@pytest.fixture(scope="session")
def tiny_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untied embeddings, query and key norms, template with generation tags."""
    return save_model(tmp_path_factory.mktemp("tiny") / "qwen3", "qwen3", TAGGED)


@pytest.fixture(scope="session")
def tiny_sliding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer with full attention, one that sees eight tokens back."""
    return save_model(
        tmp_path_factory.mktemp("tiny") / "sliding",
        "qwen3",
        use_sliding_window=True,
        sliding_window=8,
        layer_types=["full_attention", "sliding_attention"],
    )


@pytest.fixture(params=["llama", "qwen3", "sliding"])
def tiny_model(request: pytest.FixtureRequest) -> Path:
    """Each tiny model in turn."""
    path: Path = request.getfixturevalue(f"tiny_{request.param}")
    return path
