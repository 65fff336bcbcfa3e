"""What makes a run impossible, found from its settings alone: each problem is one line that says what to change."""

from collections.abc import Iterator

from ssd_plugin.config.schema import RunConfig, TrainConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.models.shape import ModelShape
from ssd_plugin.planning.memory import GIB, SHARE, sampling_memory, training_memory

# Architectures that Megatron-Bridge 0.3.1 and later convert and that the shipped recipes were built for.
CONVERTIBLE = ("GptOssForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM")


def _parallel_problems(config: TrainConfig, shape: ModelShape, gpus: int) -> Iterator[str]:
    p = config.parallel
    model = p.tensor * p.pipeline * p.context
    if gpus % model:
        yield f"{gpus} GPUs cannot be divided by tensor x pipeline x context = {model}: change train.parallel or the GPU count"
    elif gpus // model > config.global_batch_size:
        yield (
            f"train.global_batch_size = {config.global_batch_size} is less than one row for each of the {gpus // model} "
            "data-parallel ranks: change one of them"
        )
    elif (config.batch_unit == "packs" or p.pipeline > 2) and config.global_batch_size % (gpus // model):
        yield (
            f"train.global_batch_size = {config.global_batch_size} cannot be divided by the {gpus // model} data-parallel "
            "ranks: change one of them"
        )
    if config.batch_unit == "packs" and p.pipeline > 2:
        yield (
            f"train.batch_unit = packs with train.parallel.pipeline = {p.pipeline}: the middle stages would attend across "
            "examples (Megatron-Bridge issue 2952); use samples, or at most 2 stages"
        )
    if p.context > 1 and config.seq_length % (2 * p.context):
        yield (
            f"train.seq_length = {config.seq_length} cannot be divided by 2 x train.parallel.context = {2 * p.context} "
            "(context parallelism deals out two chunks a rank)"
        )
    if p.sequence and p.tensor == 1:
        yield "train.parallel.sequence needs train.parallel.tensor above 1: set sequence=false"
    if p.sequence and config.seq_length % (p.tensor * p.context * (2 if p.context > 1 else 1)):
        yield f"train.seq_length = {config.seq_length} cannot be divided over tensor x context with sequence parallelism"
    for name, count in (("attention heads", shape.heads), ("key-value heads", shape.kv_heads)):
        if count % p.tensor:
            yield f"the model's {count} {name} cannot be divided by train.parallel.tensor = {p.tensor}"
    if shape.layers % p.pipeline:
        yield f"the model's {shape.layers} layers cannot be divided by train.parallel.pipeline = {p.pipeline}"


def _expert_problems(config: TrainConfig, shape: ModelShape, gpus: int) -> Iterator[str]:
    p = config.parallel
    if p.expert > 1 and not shape.experts:
        yield f"train.parallel.expert = {p.expert}, but the model has no experts: set it to 1"
    elif shape.experts and shape.experts % p.expert:
        yield f"the model's {shape.experts} experts cannot be divided by train.parallel.expert = {p.expert}"
    if gpus % (p.expert * p.pipeline):
        yield f"{gpus} GPUs cannot be divided by expert x pipeline = {p.expert * p.pipeline}: change train.parallel.expert"


def _context_problems(config: TrainConfig, shape: ModelShape) -> Iterator[str]:
    if config.seq_length > shape.context:
        yield f"train.seq_length = {config.seq_length} is above the model's context of {shape.context} tokens"


def training_problems(config: TrainConfig, shape: ModelShape, gpus: int, gpu_bytes: float) -> list[str]:
    """Why this fine-tune cannot run on `gpus` GPUs of `gpu_bytes` bytes; empty when nothing was found."""
    problems = list(_context_problems(config, shape))
    if config.backend != "megatron":
        return problems
    if shape.architecture not in CONVERTIBLE:
        problems.append(
            f"Megatron-Bridge does not convert {shape.architecture}: known are {', '.join(CONVERTIBLE)}; "
            "or set train.backend=embedded"
        )
    problems += _parallel_problems(config, shape, gpus)
    problems += _expert_problems(config, shape, gpus)
    if problems or config.method == "lora":
        return problems
    need = training_memory(shape, config, gpus)
    if need.total > SHARE * gpu_bytes:
        parts = ", ".join(f"{name} {value / GIB:.1f}" for name, value in vars(need).items())
        problems.append(
            f"training needs {need.total / GIB:.1f} GiB a GPU ({parts}), {SHARE:.0%} of a GPU is "
            f"{SHARE * gpu_bytes / GIB:.1f}: raise tensor, context or pipeline parallelism, or train.parallel.recompute"
        )
    return problems


def sampling_problems(config: RunConfig, shape: ModelShape, gpus: int, gpu_bytes: float) -> list[str]:
    """Why vLLM cannot sample on `gpus` GPUs of `gpu_bytes` bytes; empty when nothing was found or vLLM is not used."""
    engine = config.engine
    if engine.name != "vllm":
        return []
    problems: list[str] = []
    size = engine.tensor_parallel * engine.data_parallel
    if size > gpus or gpus % size:
        problems.append(f"engine.tensor_parallel x engine.data_parallel = {size} does not divide {gpus} GPUs")
    if shape.heads % engine.tensor_parallel:
        problems.append(
            f"the model's {shape.heads} attention heads cannot be divided by engine.tensor_parallel = {engine.tensor_parallel}"
        )
    length = engine.max_model_len or shape.context
    if length > shape.context:
        problems.append(f"engine.max_model_len = {length} is above the model's context of {shape.context} tokens")
    wanted = max(config.sampling.max_new_tokens, config.evaluate.max_new_tokens)
    if wanted >= length:
        problems.append(
            f"max_new_tokens = {wanted} leaves no room for a prompt in engine.max_model_len = {length}: lower the one or "
            "raise the other"
        )
    if not problems and sampling_memory(shape, engine, gpu_bytes, length).sequences < 1:
        problems.append(
            f"not one sequence of {length} tokens fits beside the weights: raise engine.tensor_parallel or lower "
            "engine.max_model_len"
        )
    return problems


def find_problems(config: RunConfig, shape: ModelShape, *, gpus: int, nodes: int, gpu_bytes: float) -> list[str]:
    """All that makes the run impossible: training over all nodes' GPUs, sampling on those of one node."""
    return [
        *training_problems(config.train, shape, gpus * nodes, gpu_bytes),
        *sampling_problems(config, shape, gpus, gpu_bytes),
    ]


def refuse_problems(problems: list[str]) -> None:
    """Raise on any problem.

    Raises:
        ConfigError: names every one of them.
    """
    if problems:
        raise ConfigError("; ".join(problems))
