"""The model under training: loading, adapters, the loss of one pack, and the check that our shortcuts are exact for it."""

import itertools
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel

from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.errors import ModelError, ResourceError, TrainingError
from ssd_plugin.models.device import is_out_of_memory, load_quietly
from ssd_plugin.training import attention
from ssd_plugin.training.loss import chunked_cross_entropy
from ssd_plugin.training.packing import Pack

TOLERANCE = 1e-3
"""Allowed difference (nats a token) between our loss and the model's own on the same tokens, in float32."""


def load(base_model: Path) -> PreTrainedModel:
    """The base model with float32 master weights (bfloat16 ones lose small updates to rounding), packed attention on.

    Raises:
        ModelError: transformers cannot load it.
        ResourceError: out of memory.
    """
    attention.register()
    load_quietly()
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base_model, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{base_model}: transformers cannot load this model ({reason})") from error
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ResourceError(
                f"{base_model}: not enough memory for float32 weights; use train.method = lora on a smaller model"
            ) from error
        raise
    if not model._supports_sdpa or not model._supports_attention_backend:
        raise TrainingError(
            f"{base_model}: {type(model).__name__} has its own attention; set train.backend to megatron"
        )
    if output_layer(model).bias is not None:
        raise TrainingError(f"{base_model}: {type(model).__name__} has an output bias; set train.backend to megatron")
    model.set_attn_implementation(attention.NAME)
    model.config.use_cache = False
    return model


def with_adapters(model: PreTrainedModel, config: TrainConfig) -> Any:
    """The model with trainable LoRA adapters (arXiv:2106.09685) on every linear layer; all else is frozen."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, lora)


def output_layer(model: Any) -> torch.nn.Linear:
    """The layer that turns hidden states into logits."""
    layer: torch.nn.Linear = model.get_output_embeddings()
    return layer


def causal_lm(model: Any) -> PreTrainedModel:
    """The transformers model under adapters, or the model itself."""
    inner: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner


def pack_loss(model: PreTrainedModel, pack: Pack, dtype: torch.dtype) -> torch.Tensor:
    """Summed negative log-likelihood (nats) of a pack's labels. Only labelled positions reach the output layer."""
    device = model.device
    hidden = model.base_model(
        input_ids=pack.input_ids.to(device),
        position_ids=pack.position_ids.to(device),
        pack_boundaries=pack.boundaries,
        use_cache=False,
    ).last_hidden_state[0]
    weight = output_layer(model).weight
    return chunked_cross_entropy(hidden[pack.label_positions.to(device)], weight, pack.labels.to(device), dtype)


@torch.no_grad()
def check_exact(model: PreTrainedModel, pack: Pack) -> None:
    """Hold `pack_loss` against the model's own forward pass, one example at a time, in float32.

    Raises:
        TrainingError: they differ: this architecture does something that packing or the split output layer leaves out.
    """
    ours = float(pack_loss(model, pack, torch.float32)) / len(pack.labels)
    model.set_attn_implementation("sdpa")
    own = 0.0
    for start, end in itertools.pairwise(pack.boundaries):
        inside = (pack.label_positions >= start) & (pack.label_positions < end)
        places = (pack.label_positions[inside] - start).to(model.device)
        ids = pack.input_ids[:, start:end].to(model.device)
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=places).logits[0].float()
        own += float(functional.cross_entropy(logits, pack.labels[inside].to(model.device), reduction="sum"))
    model.set_attn_implementation(attention.NAME)
    own /= len(pack.labels)
    if not abs(ours - own) <= TOLERANCE * max(1.0, abs(own)):
        raise TrainingError(
            f"{type(model).__name__}: packed loss {ours:.6f} is not the model's own {own:.6f}; set train.backend to megatron"
        )
