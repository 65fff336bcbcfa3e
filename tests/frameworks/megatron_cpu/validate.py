"""Test-only: a recipe's whole configuration for Bridge, validated by Bridge as rank 0 of 8 B200; no GPU, no weights.

`python validate.py RECIPE FOLDER` prints one JSON object: what Bridge made of it. The model is its shape alone.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ |= {"WORLD_SIZE": "8", "RANK": "0", "LOCAL_RANK": "0", "CUDA_DEVICE_MAX_CONNECTIONS": "1"}
import te_stub

te_stub.install()
import cpu_shim  # noqa: E402

cpu_shim.install()
import torch  # noqa: E402
from megatron.bridge import AutoBridge  # noqa: E402
from megatron.bridge.training.config import runtime_config_update  # noqa: E402
from megatron.core.extensions import transformer_engine  # noqa: E402
from megatron.core.models.common.embeddings import rope_utils  # noqa: E402
from megatron.core.transformer import transformer_config  # noqa: E402
from megatron.core.transformer.moe import moe_utils  # noqa: E402

from ssd_plugin import recipes  # noqa: E402
from ssd_plugin.models.shape import ModelShape, model_shape  # noqa: E402
from ssd_plugin.training.megatron import bridge  # noqa: E402
from ssd_plugin.training.protocol import TrainJob  # noqa: E402

FUSED = ("permute", "permute_with_probs", "sort_chunks_by_index", "sort_chunks_by_index_with_probs", "unpermute")
KINDS = {
    "Qwen3ForCausalLM": "qwen3", "Qwen3MoeForCausalLM": "qwen3_moe", "LlamaForCausalLM": "llama",
    "GptOssForCausalLM": "gpt_oss",
}  # fmt: skip


def pretend_b200() -> None:
    """The GPU's properties, and Transformer Engine's kernels as far as they are asked whether they are there."""
    cuda: Any = torch.cuda
    cuda.get_device_properties = lambda *_: SimpleNamespace(major=10, minor=0, total_memory=180 << 30, name="B200")
    cuda.get_device_capability = lambda *_: (10, 0)
    for name in FUSED:
        for module in (transformer_engine, moe_utils):
            vars(module)[f"fused_{name}"] = lambda *_, **__: None
    vars(rope_utils)["fused_apply_rotary_pos_emb"] = vars(rope_utils)["fused_apply_rotary_pos_emb_thd"] = lambda *_: (
        None
    )
    vars(transformer_config)["is_te_min_version"] = lambda *_, **__: True


def save_config(folder: Path, shape: ModelShape) -> Path:
    """config.json of a model of that shape."""
    from transformers import AutoConfig

    values: dict[str, Any] = {
        "num_hidden_layers": shape.layers, "hidden_size": shape.hidden, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim, "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab, "tie_word_embeddings": shape.tied, "max_position_embeddings": shape.context,
    }  # fmt: skip
    if shape.experts:
        count = "num_local_experts" if KINDS[shape.architecture] == "gpt_oss" else "num_experts"
        values |= {
            count: shape.experts,
            "num_experts_per_tok": shape.active_experts,
            "moe_intermediate_size": shape.ffn,
        }
    config: Any = AutoConfig.for_model(KINDS[shape.architecture], **values)
    config.architectures = [shape.architecture]
    config.save_pretrained(folder)
    return folder


def main(name: str, folder: Path) -> None:
    """Build and validate."""
    pretend_b200()
    config = recipes.load(name)()
    base = save_config(folder, model_shape(config.model.ref))
    provider_of = AutoBridge.to_megatron_provider
    vars_of: Any = AutoBridge
    vars_of.to_megatron_provider = lambda self, load_weights=True: provider_of(self, load_weights=False)
    _, provider = bridge.model_provider(base, config.train)
    job = TrainJob(
        base_model=base, base_digest="0" * 64, examples=folder / "kept.jsonl", work=folder / "work",
        output=folder / "out", seed=0, config=config.train,
    )  # fmt: skip
    container = bridge.container(job, provider, rows=8 // config.train.parallel.context)
    runtime_config_update(container)
    model = container.model
    sizes = {
        field.name: getattr(config.train.parallel, field.name) for field in dataclasses.fields(config.train.parallel)
    }
    found = {
        "recipe": sizes,
        "context": model.context_parallel_size,
        "expert": getattr(model, "expert_model_parallel_size", 1) or 1,
        "exchange": model.cp_comm_type,
        "data_parallel": container.data_parallel_size,
        "per_token": model.calculate_per_token_loss,
        "recompute": model.recompute_granularity,
        "average": container.ddp.average_in_collective,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
