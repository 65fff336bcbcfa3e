"""`train.megatron`: whatever else Megatron-Bridge's configuration has, under its own names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ssd_plugin.config.parsing import unknown_key
from ssd_plugin.errors import ConfigError

# What our own settings stand for: set twice, one of the two would silently lose.
OURS = {
    "model": {
        "tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size", "expert_model_parallel_size",
        "expert_tensor_parallel_size", "sequence_parallel", "seq_length", "recompute_granularity",
        "calculate_per_token_loss", "moe_aux_loss_coeff", "moe_router_load_balancing_type", "vocab_size",
    },
    "train": {"train_iters", "global_batch_size", "micro_batch_size"},
    "optimizer": {"lr", "min_lr", "weight_decay", "adam_beta1", "adam_beta2", "clip_grad"},
    "scheduler": {"start_weight_decay", "end_weight_decay", "lr_decay_style", "lr_warmup_iters", "lr_decay_iters"},
    "ddp": {"average_in_collective"},
    "checkpoint": {"save", "load", "save_interval", "ckpt_format"},
    "rng": {"seed"},
}  # fmt: skip
NOT_OPEN = ("dataset", "tokenizer")  # the rows are ours, and the model's tokenizer is not to be changed


def lay_over(container: Any, options: Mapping[str, Any]) -> None:
    """Set each of `options` on Bridge's configuration: a section's fields, or what stands beside the sections
    (`mixed_precision`).

    Raises:
        ConfigError: the installed version has no such section or field, or one of our own settings stands for it.
    """
    sections = [name for name in vars(container) if name not in NOT_OPEN and not name.startswith("_")]
    for section, values in options.items():
        path = f"train.megatron.{section}"
        if section not in sections:
            raise unknown_key(path, section, sections)
        if not isinstance(values, Mapping):
            if dataclasses.is_dataclass(getattr(container, section)):
                raise ConfigError(f"{path} = {values!r:.80} is not allowed; allowed: a table")
            setattr(container, section, values)
            continue
        _set(getattr(container, section), values, path, OURS.get(section, set()))


def _set(target: Any, values: Mapping[str, Any], path: str, ours: set[str]) -> None:
    known = [name for name in dir(target) if not name.startswith("_") and not callable(getattr(target, name, None))]
    for name, value in values.items():
        if name in ours:
            raise ConfigError(f"{path}.{name} is what a setting of train or train.parallel stands for: set that one")
        if name not in known:
            raise unknown_key(f"{path}.{name}", name, known)
        setattr(target, name, value)
