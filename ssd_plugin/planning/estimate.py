"""How much a run computes, how long that takes, and what it leaves on disk: estimates by stated formulas.

Tokens: completions x their mean length. Training FLOPs a token: 6 x active parameters, and 6 x layers x attention width x
length for causal attention (Megatron-LM's count), times 4/3 with full recomputation. Training time: those at a share of the
peak, and for each layer of each micro-batch a time that no GPU computes in (kernels are launched, experts' tokens exchanged),
which is most of it where a micro-batch leaves a GPU a few hundred tokens. Both are given as a range, held against what NVIDIA
publishes for Qwen3-30B-A3B in MXFP8 (Megatron-Bridge's performance summary,
https://docs.nvidia.com/nemo/megatron-bridge/latest/performance-summary.html): 9,299 tokens a second and GPU on DGX B200 with
4,096 tokens a micro-batch (container 25.11), 39,936 on GB200 with 16,384 (newest). Sampling: one decode step of a batch
reads the weights and the batch's keys and values (bandwidth) or computes 2 x active parameters a token, whichever takes
longer, and under tensor parallelism sums two activations a layer over the GPUs (one all-reduce after attention, one after the
MLP: Shoeybi et al. 2019), which costs a latency each and the bytes over NVLink. Both peaks are multiplied by an assumed
efficiency; every assumption is a field of `Assumptions`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from ssd_plugin.config.schema import DataConfig, EngineConfig, RunConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods import learning_method, method_of
from ssd_plugin.models.shape import ModelShape
from ssd_plugin.planning.memory import OPTIMIZER, WEIGHT, sampling_memory

CHECKPOINTS_KEPT = 2
LEARNER_STATE = 16  # bytes a parameter in float32: weights, two moments, the teacher's average
MAX_NUM_SEQS = 1024  # vLLM's default on GPUs with 70 GiB and more
BYTES_A_SAVED_TOKEN = 12  # a completion row: its text (about 4 bytes a token) and its token ids (about 7)


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Hardware (one B200 of an HGX board: 180 GB, 2,250 dense bf16 TFLOP/s, 8 TB/s of HBM3e, NVLink 5 with 0.9 TB/s each way)
    and lengths, in tokens; none of them is measured here. `allreduce_us`: microseconds of a small all-reduce over the GPUs.
    `layer_ms`: milliseconds a layer and micro-batch, forward and backward, beside its FLOPs."""

    gpus: int = 8
    nodes: int = 1
    gpu_memory_gb: float = 180
    gpu_tflops: float = 2250
    gpu_bandwidth_tb: float = 8
    nvlink_tb: float = 0.9
    allreduce_us: float = 10
    training_efficiency: float = 0.4
    training_efficiency_low: float = 0.25
    layer_ms: float = 2
    layer_ms_high: float = 7.5
    sampling_efficiency: float = 0.5
    prompt_tokens: int = 600
    completion_tokens: int = 4000
    prompts: int = 10_168
    dev_tasks: int = 880
    heldout_tasks: int = 131

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value <= 0:
                raise ConfigError(f"{name} = {value} is not allowed; allowed: a number above 0")

    @property
    def gpu_bytes(self) -> float:
        """Bytes of one GPU."""
        return self.gpu_memory_gb * 1e9


LENGTHS = (
    "prompt_tokens",
    "completion_tokens",
    "prompts",
    "dev_tasks",
    "heldout_tasks",
)  # the assumptions without hardware

# Tasks by source, where the source fixes them: the benchmarks' own figures, and the paper's for the months it takes of v6.
TASKS = {"livecodebench:v5": 880, "livecodebench:v6": 131, "humaneval": 164, "mbpp": 500}


def assumptions_for(config: RunConfig) -> Assumptions:
    """The assumptions with what the settings fix: task counts of known sources, the completion's length limit."""

    def count(data: DataConfig, otherwise: int) -> int:
        kind, _, split = data.source.partition(":")
        if kind == "bank":
            otherwise = sum(1 for _ in resources.files("ssd_plugin.tasks").joinpath(f"bank/{split}.jsonl").open())
        tasks = TASKS.get(data.source, otherwise)
        return min(tasks, data.limit) if data.limit else tasks

    plain = Assumptions()
    return dataclasses.replace(
        plain,
        completion_tokens=min(plain.completion_tokens, config.sampling.max_new_tokens),
        prompts=count(config.prompts, plain.prompts),
        dev_tasks=count(config.select.data, plain.dev_tasks),
        heldout_tasks=count(config.evaluate.data, plain.heldout_tasks),
    )


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """One stage: `gpus` held, `tokens` sampled or trained on, `gpu_hours` = GPUs held x hours (`gpu_hours_high`: at most, where
    the estimate is a range), `disk` bytes left behind."""

    name: str
    gpus: int = 0
    tokens: int = 0
    gpu_hours: float = 0.0
    gpu_hours_high: float = 0.0
    disk: float = 0.0
    note: str = ""


def decode_step(shape: ModelShape, engine: EngineConfig, assume: Assumptions, batch: int, length: float) -> float:
    """Seconds in which one vLLM replica draws a token for each of `batch` sequences of `length` tokens."""
    memory = sampling_memory(shape, engine, assume.gpu_bytes, max(1, int(length)))
    read = memory.weights + batch * length * memory.kv_per_token
    by_bandwidth = read / (assume.gpu_bandwidth_tb * 1e12)
    by_compute = 2 * shape.active_params * batch / (engine.tensor_parallel * assume.gpu_tflops * 1e12)
    return max(by_bandwidth, by_compute) / assume.sampling_efficiency + _sums(shape, engine, assume, batch)


def _sums(shape: ModelShape, engine: EngineConfig, assume: Assumptions, batch: int) -> float:
    """Seconds a step that tensor parallelism waits for its all-reduces of bf16 activations, two a layer."""
    ranks = engine.tensor_parallel
    if ranks == 1:
        return 0.0
    over_links = 2 * (ranks - 1) / ranks * WEIGHT * shape.hidden * batch / (assume.nvlink_tb * 1e12)
    return 2 * shape.layers * (assume.allreduce_us * 1e-6 + over_links)


def decode_rate(shape: ModelShape, config: RunConfig, assume: Assumptions) -> float:
    """Tokens a second of one vLLM replica, at the batch that its memory holds for half-grown sequences of mean length."""
    length = assume.prompt_tokens + assume.completion_tokens / 2
    memory = sampling_memory(shape, config.engine, assume.gpu_bytes, int(length))
    batch = max(1, min(memory.sequences, int(config.engine.options.get("max_num_seqs", MAX_NUM_SEQS))))
    return batch / decode_step(shape, config.engine, assume, batch, length)


def _sampling(
    name: str, completions: int, shape: ModelShape, config: RunConfig, assume: Assumptions, note: str
) -> StageEstimate:
    tokens = completions * assume.completion_tokens
    if config.engine.name != "vllm":
        return StageEstimate(name=name, tokens=tokens, disk=tokens * BYTES_A_SAVED_TOKEN, note=note)
    gpus = config.engine.tensor_parallel * config.engine.data_parallel
    seconds = tokens / (decode_rate(shape, config, assume) * config.engine.data_parallel)
    return StageEstimate(
        name=name,
        gpus=gpus,
        tokens=tokens,
        gpu_hours=gpus * seconds / 3600,
        gpu_hours_high=gpus * seconds / 3600,
        disk=tokens * BYTES_A_SAVED_TOKEN,
        note=note,
    )


def training_tokens(config: RunConfig, assume: Assumptions) -> int:
    """Tokens that training multiplies through the model, prompts included."""
    train = config.train
    length = train.seq_length if train.batch_unit == "packs" else assume.prompt_tokens + assume.completion_tokens
    return train.train_iters * train.global_batch_size * min(length, train.seq_length)


def training_flops(shape: ModelShape, config: RunConfig, assume: Assumptions) -> float:
    """FLOPs of the whole fine-tune."""
    length = min(assume.prompt_tokens + assume.completion_tokens, config.train.seq_length)
    a_token = 6 * shape.active_params + 6 * shape.layers * shape.heads * shape.head_dim * length
    recompute = 4 / 3 if config.train.parallel.recompute == "full" else 1
    return a_token * recompute * training_tokens(config, assume)


def rows_a_step(config: RunConfig, assume: Assumptions) -> int:
    """Rows that hold a step's samples of mean length, a tenth to spare, as many on every data-parallel rank."""
    train, p = config.train, config.train.parallel
    if train.batch_unit == "packs" or p.pipeline > 2:
        return train.global_batch_size
    ranks = max(1, assume.gpus * assume.nodes // (p.tensor * p.pipeline * p.context))
    tokens = 1.1 * training_tokens(config, assume) / train.train_iters
    needed = -(-tokens // (train.seq_length * ranks)) * ranks
    return int(min(max(needed, ranks), max(train.global_batch_size, ranks)))


def tokens_a_gpu(config: RunConfig, assume: Assumptions) -> float:
    """Tokens that a micro-batch, which is one row, leaves each GPU."""
    p = config.train.parallel
    row = training_tokens(config, assume) / config.train.train_iters / rows_a_step(config, assume)
    return row / (p.context * p.tensor)


def training_seconds(shape: ModelShape, config: RunConfig, assume: Assumptions, share: float, layer_ms: float) -> float:
    """Seconds of the whole fine-tune, with the GPUs computing at `share` of their peak and `layer_ms` a layer beside it."""
    p, gpus = config.train.parallel, assume.gpus * assume.nodes
    computing = training_flops(shape, config, assume) / (gpus * assume.gpu_tflops * 1e12 * share)
    ranks = max(1, gpus // (p.tensor * p.pipeline * p.context))
    passes = 4 / 3 if p.recompute == "full" else 1
    micro_batches = config.train.train_iters * rows_a_step(config, assume) / ranks
    return computing + micro_batches * shape.layers / p.pipeline * layer_ms / 1000 * passes


def _training(shape: ModelShape, config: RunConfig, assume: Assumptions) -> StageEstimate:
    iterations = config.train.train_iters
    if config.train.backend != "megatron":
        return StageEstimate(
            name="train",
            tokens=training_tokens(config, assume),
            disk=WEIGHT * shape.params,
            note=f"{iterations} iterations",
        )
    gpus = assume.gpus * assume.nodes
    checkpoint = (WEIGHT + OPTIMIZER) * shape.params
    epochs = iterations * config.train.global_batch_size / assume.prompts
    if config.train.batch_unit == "packs":
        epochs *= config.train.seq_length / (assume.prompt_tokens + assume.completion_tokens)
    quick = training_seconds(shape, config, assume, assume.training_efficiency, assume.layer_ms)
    slow = training_seconds(shape, config, assume, assume.training_efficiency_low, assume.layer_ms_high)
    return StageEstimate(
        name="train",
        gpus=gpus,
        tokens=training_tokens(config, assume),
        gpu_hours=gpus * quick / 3600,
        gpu_hours_high=gpus * slow / 3600,
        disk=CHECKPOINTS_KEPT * checkpoint + WEIGHT * shape.params,
        note=f"{iterations} iterations, {epochs:.1f} epochs, {tokens_a_gpu(config, assume):,.0f} tokens a GPU at a time",
    )


def without_time(config: RunConfig) -> list[str]:
    """The settings whose stages have no estimate of time: only GPUs' is estimated."""
    used = {"engine.name": (config.engine.name, "vllm"), "train.backend": (config.train.backend, "megatron")}
    return [f"{name} = {value}" for name, (value, estimated) in used.items() if value != estimated]


def estimate(config: RunConfig, shape: ModelShape, assume: Assumptions) -> list[StageEstimate]:
    """The stages of the method's pipeline in order. Stages without an entry in `_ESTIMATES` take seconds on a CPU."""
    stages = [stage.name for stage in method_of(config).pipeline if stage.name in _ESTIMATES]
    return [_ESTIMATES[name](shape, config, assume) for name in stages]


def _prompts(shape: ModelShape, _: RunConfig, assume: Assumptions) -> StageEstimate:
    return StageEstimate(name="prompts", disk=WEIGHT * shape.params, note=f"{assume.prompts} prompts, the base model")


def _sample(shape: ModelShape, config: RunConfig, assume: Assumptions) -> StageEstimate:
    return _sampling("sample", assume.prompts, shape, config, assume, "one completion a prompt")


def _filter(_: ModelShape, __: RunConfig, assume: Assumptions) -> StageEstimate:
    return StageEstimate(name="filter", disk=assume.prompts * assume.completion_tokens * BYTES_A_SAVED_TOKEN)


def _select(shape: ModelShape, config: RunConfig, assume: Assumptions) -> StageEstimate:
    settings = len(config.select.grid())
    completions = assume.dev_tasks * settings * 2 * config.select.samples_per_task
    return _sampling("select", completions, shape, config, assume, f"{settings} decode settings x 2 models")


def _evaluate(shape: ModelShape, config: RunConfig, assume: Assumptions) -> StageEstimate:
    samples = config.evaluate.samples_per_task  # the base at its usual and at its best setting, and the candidate
    completions = assume.heldout_tasks * 3 * samples
    return _sampling("evaluate", completions, shape, config, assume, f"3 sides x {samples} samples")


def _learn(shape: ModelShape, config: RunConfig, _: Assumptions) -> StageEstimate:
    per_task = learning_method(config).section(config).rollouts_per_task
    rollouts = config.train.train_iters * config.rollout.tasks_per_batch * per_task
    return StageEstimate(
        name="learn",
        tokens=rollouts * config.rollout.max_new_tokens,
        disk=WEIGHT * shape.params + LEARNER_STATE * shape.params,
        note=f"{config.train.train_iters} batches of {config.rollout.tasks_per_batch} tasks x {per_task} rollouts, at most",
    )


def _gate(_: ModelShape, __: RunConfig, ___: Assumptions) -> StageEstimate:
    return StageEstimate(name="gate", note="grading and gates, CPU")


_ESTIMATES: Mapping[str, Callable[[ModelShape, RunConfig, Assumptions], StageEstimate]] = {
    "prompts": _prompts,
    "sample": _sample,
    "filter": _filter,
    "train": _training,
    "learn": _learn,
    "select": _select,
    "evaluate": _evaluate,
    "gate": _gate,
}
