"""What would stop a run after it has begun, found before it begins: frameworks, GPUs, sizes, memory, the gates' own files."""

from collections.abc import Collection
from pathlib import Path

from ssd_plugin.config.schema import ModelConfig, RunConfig
from ssd_plugin.core.gpus import find_gpus, nodes_together
from ssd_plugin.errors import ConfigError, GateError, ModelError
from ssd_plugin.gating.benchmark_inputs import require_named
from ssd_plugin.gating.policy import load_policy
from ssd_plugin.gating.request import GateRequest, benchmark_options
from ssd_plugin.methods.base import Stage
from ssd_plugin.models.shape import ModelShape, model_shape
from ssd_plugin.planning.checks import find_problems, sampling_problems, training_problems
from ssd_plugin.planning.estimate import Assumptions
from ssd_plugin.planning.versions import model_problems, samples_on_cpu, version_problems


def machine_problems(config: RunConfig, stages: Collection[Stage]) -> list[str]:
    """Why these stages cannot run on this machine; empty when nothing was found. The embedded backends need no check.

    Raises:
        ModelError: the model's shape cannot be had.
    """
    sampling = config.engine.name == "vllm" and any("engine" in stage.uses for stage in stages)
    training = config.train.backend == "megatron" and any("trainer" in stage.uses for stage in stages)
    if not (sampling or training):
        return []
    problems = version_problems(config, sampling=sampling, training=training)
    gpus = find_gpus()
    on_cpu = sampling and not gpus.count and samples_on_cpu(config.python.sample)
    if not gpus.count and (training or not on_cpu):
        what = "train.backend = megatron" if training else "engine.name = vllm"
        return [
            *problems,
            f"{what} needs NVIDIA GPUs and nvidia-smi shows none here: run it where they are, or choose embedded",
        ]
    shape = shape_of(config.model)
    if training:
        problems += model_problems(config, shape.architecture)
        problems += training_problems(config.train, shape, gpus.count * nodes_together(), gpus.bytes)
    if sampling and not on_cpu:
        problems += sampling_problems(config, shape, gpus.count, gpus.bytes)
    return problems


def gate_problems(config: RunConfig) -> list[str]:
    """Why the gates could not judge what this run will have made: their policy, and the files that their settings name."""
    problems = []
    graded = Path()  # stands for what the run itself will have graded
    try:
        benchmarks = benchmark_options(config.gate.benchmarks)
        request = GateRequest(
            policy="", tasks=graded, baseline=graded, candidate=graded, benchmarks=benchmarks, out=graded
        )
        require_named(request, load_policy(config.gate.policy))
    except ConfigError as error:
        problems.append(f"gate.policy: {error}")
    except GateError as error:
        problems.append(f"gate: {error}")
    named = {"gate.origin": config.gate.origin, "gate.sign_key": config.gate.sign_key}
    return problems + [
        f"{key}: {path}: no such file" for key, path in named.items() if path and not Path(path).exists()
    ]


def cluster_problems(config: RunConfig, *, gpus: int, nodes: int) -> list[str]:
    """Why a run cannot work on `nodes` nodes of `gpus` GPUs each, as far as it can be known from here: by the arithmetic with
    the memory that `ssd plan` assumes (a B200's). Each stage's job looks at its own node before it begins.

    Raises:
        ModelError: the model's shape cannot be had.
    """
    needing = {"engine.name": config.engine.name == "vllm", "train.backend": config.train.backend == "megatron"}
    if not any(needing.values()):
        return []
    if not gpus:
        names = " and ".join(name for name, needs in needing.items() if needs)
        return [f"{names} need GPUs: raise run.executor.gpus_per_node, or choose embedded"]
    return find_problems(config, shape_of(config.model), gpus=gpus, nodes=nodes, gpu_bytes=Assumptions().gpu_bytes)


def shape_of(model: ModelConfig) -> ModelShape:
    """The model's shape: from the table of shipped models, its directory, or its config.json at the hub.

    Raises:
        ModelError: from none of them.
    """
    try:
        return model_shape(model.ref)
    except ModelError:
        if model.ref.count("/") != 1 or Path(model.ref).exists():
            raise
    from ssd_plugin.models.weights import hub_file

    return model_shape(model.ref, hub_file(model.ref, model.revision, "config.json"))
