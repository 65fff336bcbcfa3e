"""What is set on Bridge's model provider, whatever the model. Needs torch and no Megatron."""

from typing import Any

import torch

from ssd_plugin.config.schema import ParallelConfig


def set_plain_loss(provider: Any) -> None:
    """Cross-entropy and nothing else: Bridge adds a load-balancing loss for some models with experts. A step's loss is the
    mean over its labels, whatever rank they are on."""
    provider.calculate_per_token_loss = True
    provider.cross_entropy_loss_fusion = False
    if getattr(provider, "num_moe_experts", None):
        provider.moe_router_load_balancing_type, provider.moe_aux_loss_coeff = "none", 0.0


def set_parallelism(provider: Any, parallel: ParallelConfig) -> None:
    """Megatron's parallel sizes and recomputation. Experts are not split further (their tensor parallelism is 1)."""
    provider.tensor_model_parallel_size = parallel.tensor
    provider.pipeline_model_parallel_size = parallel.pipeline
    provider.pipeline_dtype = torch.bfloat16
    provider.context_parallel_size = parallel.context
    provider.cp_comm_type = context_exchange(provider) if parallel.context > 1 else None
    provider.sequence_parallel = parallel.sequence
    if getattr(provider, "num_moe_experts", None):
        provider.expert_model_parallel_size = parallel.expert
        provider.expert_tensor_parallel_size = 1
    if parallel.recompute == "full":
        provider.recompute_granularity, provider.recompute_method, provider.recompute_num_layers = "full", "uniform", 1
    elif parallel.recompute == "selective":
        provider.recompute_granularity = "selective"


def context_exchange(provider: Any) -> str:
    """How the ranks that share a sequence exchange what attention needs. Transformer Engine has neither sinks (a learnable
    softmax) nor sliding windows with the ring, which is the cheaper one; gpt-oss has both."""
    plain = getattr(provider, "softmax_type", "vanilla") == "vanilla" and getattr(provider, "window_size", None) is None
    return "p2p" if plain else "a2a"
