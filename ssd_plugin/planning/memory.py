"""Bytes on one GPU, training and sampling. Sources: Megatron-LM's distributed-optimizer table (bf16 parameters 2, fp32
gradients 4, fp32 master weights and two moments 12 bytes a parameter, the last divided over the data-parallel ranks) and
Korthikanti et al. 2022 (activations; here without the attention matrix, which fused attention never writes)."""

from dataclasses import dataclass

from ssd_plugin.config.schema import EngineConfig, ParallelConfig, TrainConfig
from ssd_plugin.models.shape import ModelShape

WEIGHT, GRADIENT, OPTIMIZER = 2, 4, 12  # bytes a parameter
LOGIT = 10  # bytes a logit: bf16, its fp32 copy, and the fp32 gradient
SHARE = 0.9  # of the GPU's memory: the rest is for NCCL, the CUDA context and fragmentation
UTILISATION = 0.92  # vLLM's default share of the GPU's memory
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes on the fullest GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def _layer_bytes_a_token(shape: ModelShape) -> int:
    """What one layer keeps for its backward pass, in bf16: norms, q k v, attention's output, the MLP's three tensors
    (a MoE: those of the active experts, and the tokens' copies on their way there and back), the residual."""
    attention = 2 * shape.heads * shape.head_dim + 2 * shape.kv_heads * shape.head_dim
    active = max(1, shape.active_experts)
    mlp = 3 * shape.ffn * active + (2 * active * shape.hidden if shape.experts else 0)
    return 2 * (4 * shape.hidden + attention + mlp)


def _activation_bytes(shape: ModelShape, parallel: ParallelConfig, tokens: float) -> float:
    """`tokens`: on this GPU, of one sequence. Pipeline stages hold one sequence each in flight, the first all of them,
    so a stage's layers x in-flight sequences are the model's layers whatever the pipeline size."""
    divided = parallel.tensor if parallel.sequence else 1
    layer = _layer_bytes_a_token(shape) * tokens / parallel.tensor
    if parallel.recompute == "full":
        return shape.layers * 2 * shape.hidden * tokens / divided + 2 * layer
    return shape.layers * layer


def training_memory(shape: ModelShape, config: TrainConfig, gpus: int) -> TrainingMemory:
    """Bytes on the fullest of `gpus` for a micro-batch of one sequence of `config.seq_length` tokens, all parameters
    trained with the distributed optimizer. Expert parameters are divided by the expert parallelism alone."""
    p = config.parallel
    dense = shape.dense_params / (p.tensor * p.pipeline)
    experts = shape.expert_params / (p.expert * p.pipeline)
    ranks_dense = gpus / (p.tensor * p.pipeline)  # data x context parallel ranks share the optimizer's states
    ranks_experts = max(1.0, gpus / (p.expert * p.pipeline))
    tokens = config.seq_length / p.context
    return TrainingMemory(
        weights=WEIGHT * (dense + experts),
        gradients=GRADIENT * (dense + experts),
        optimizer=OPTIMIZER * (dense / ranks_dense + experts / ranks_experts),
        activations=_activation_bytes(shape, p, tokens),
        logits=LOGIT * tokens * shape.vocab / p.tensor,
    )


@dataclass(frozen=True, kw_only=True)
class SamplingMemory:
    """`weights`: bytes on one GPU. `kv_per_token`: bytes on one GPU. `sequences`: of full length that fit at once, a replica."""

    weights: float
    kv_per_token: float
    sequences: int


def sampling_memory(shape: ModelShape, engine: EngineConfig, gpu_bytes: float, length: int) -> SamplingMemory:
    """What vLLM has to work with: bf16 weights divided by the tensor parallelism, the rest of its share for keys and values
    (of which a GPU keeps at least one head's)."""
    weights = WEIGHT * shape.params / engine.tensor_parallel
    kv = shape.kv_bytes / min(engine.tensor_parallel, shape.kv_heads)
    free = float(engine.options.get("gpu_memory_utilization", UTILISATION)) * gpu_bytes - weights
    return SamplingMemory(weights=weights, kv_per_token=kv, sequences=max(0, int(free // (kv * length))))
