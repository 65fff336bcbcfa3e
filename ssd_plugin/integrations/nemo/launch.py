"""Launch a run: here, in a process of its own, or as a NeMo-Run experiment whose stages wait for each other."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nemo_run as run
from nemo_run.core.execution.base import Executor

from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.errors import ConfigError, DataError
from ssd_plugin.integrations.nemo.node import ask_for_node
from ssd_plugin.integrations.nemo.task import to_partial
from ssd_plugin.methods import method_of
from ssd_plugin.methods.base import Stage, Use
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.runner import require_machine
from ssd_plugin.planning.pairs import image_problem
from ssd_plugin.planning.preflight import cluster_problems


def launch(context: Any, config: RunConfig, run_dir: str) -> None:
    """Show what would run and, unless it is a dry run, run it as the command's context says.

    Raises:
        SystemExit: the verdict's exit status, when it is not GO and the run was waited for.
        ConfigError: the executor cannot run these settings.
    """
    executor = None if context.direct else context.executor
    if executor is None or isinstance(executor, run.LocalExecutor):
        _require_no_containers(config)
    partial = to_partial(config, run_dir)
    run.dryrun_fn(partial, executor=executor)
    if executor is None:
        if not context.dryrun and context._should_continue(context.skip_confirmation):
            run.run(partial, direct=True)
        return
    if not context.dryrun and not context._should_continue(context.skip_confirmation):
        return
    if isinstance(executor, run.LocalExecutor) and not context.dryrun:
        require_machine(config, RunDir(Path(run_dir)), method_of(config).pipeline)
    with run.Experiment(config.recipe, executor=executor) as experiment:
        add_stages(experiment, executor, config, run_dir)
        if context.dryrun:
            experiment.dryrun()
            return
        RunDir(Path(run_dir)).bind(config_to_json(config))
        experiment.run(detach=context.detach, tail_logs=context.tail_logs)
    if isinstance(executor, run.LocalExecutor):
        _exit_with_verdict(Path(run_dir))


def add_stages(experiment: run.Experiment, executor: Executor, config: RunConfig, run_dir: str) -> None:
    """The pipeline as one job on this machine; elsewhere one job per stage, each after the one before.

    The jobs are `ssd` commands on the run directory, which therefore must lie on storage that every node and the
    machine of the `nemo` command share. A failed job is submitted alone by running the same command again: finished
    stages are not run twice.
    """
    if isinstance(executor, run.LocalExecutor):
        ssd = str(Path(sys.executable).with_name("ssd"))
        experiment.add(_script(ssd, "run", config.recipe, run_dir), executor=_alone(executor), name="line")
        return
    if config.rounds > 1:
        raise ConfigError("rounds above 1 run on one machine only: set rounds=1, or use the local executor")
    gpus, nodes = gpus_and_nodes(executor)
    if nodes > 1 and config.train.backend != "megatron":
        raise ConfigError(
            f"run.executor.{_nodes_field(executor)} = {nodes}: train.backend = {config.train.backend} trains on one node, as "
            "all other stages run on one; set it to 1"
        )
    if problems := cluster_problems(config, gpus=gpus, nodes=nodes):
        raise ConfigError(f"with run.executor's {nodes} x {gpus} GPUs: {'; '.join(problems)}")
    before: list[str] = []
    for stage in (stage for stage in method_of(config).pipeline if stage.command):
        command: tuple[str, ...] = ("ssd", "run", config.recipe) if stage.name == "gate" else ("ssd", stage.name)
        if "trainer" in stage.uses and nodes > 1:
            command += ("--nodes", str(nodes))
        before = [
            experiment.add(
                _script(*command, run_dir),
                executor=stage_executor(executor, stage, config, run_dir),
                name=stage.name,
                dependencies=before,
            )
        ]


def _script(*words: str) -> run.Script:
    """`ssd ...` as the job's own command: no file has to reach the node (env finds it on the node's PATH)."""
    program, *rest, run_dir = words
    return run.Script(path=program, args=[*rest, "--run-dir", run_dir], entrypoint="env")


def _alone(executor: Executor) -> Any:
    """The same place, one process: a stage starts its own ranks where it needs any."""
    clone: Any = executor.clone()
    clone.launcher = None
    for name in ("ntasks_per_node", "nprocs_per_node"):
        if hasattr(clone, name):
            setattr(clone, name, 1)
    return clone


def stage_executor(executor: Executor, stage: Stage, config: RunConfig, run_dir: str) -> Any:
    """The executor with the nodes, the GPUs, the container image and what else one stage asks for: only training goes over
    several nodes.

    Raises:
        ConfigError: its image is one of NVIDIA's that cannot run the stage, or its storage is not shared.
    """
    clone = _alone(executor)
    if "trainer" not in stage.uses:
        setattr(clone, _nodes_field(clone), 1)
    clone.gpus_per_node = _gpus(stage, config, clone.gpus_per_node or 0) or None
    if not clone.gpus_per_node and hasattr(clone, "gpus"):
        clone.gpus = None  # SkyPilot takes a kind of GPU without a number for one
    images: dict[Use, str] = {"engine": config.container.sample, "trainer": config.container.train}
    image = next((images[use] for use in reversed(stage.uses)), "")
    field = "image" if hasattr(clone, "image") else "container_image"
    if image:
        setattr(clone, field, image)
    if problem := image_problem(getattr(clone, field, None) or "", _needs(stage, config)):
        raise ConfigError(f"the job of {stage.name}: {problem}")
    ask_for_node(clone, run_dir)
    return clone


def _needs(stage: Stage, config: RunConfig) -> list[str]:
    """The frameworks that a stage's image must hold."""
    training = "trainer" in stage.uses and config.train.backend == "megatron"
    return ["megatron"] * training + ["vllm"] * ("engine" in stage.uses and config.engine.name == "vllm")


def gpus_and_nodes(executor: Any) -> tuple[int, int]:
    """GPUs per node, and nodes."""
    return executor.gpus_per_node or 0, getattr(executor, _nodes_field(executor))


def _nodes_field(executor: Any) -> str:
    return next(name for name in ("nodes", "num_nodes") if hasattr(executor, name))


def _gpus(stage: Stage, config: RunConfig, a_node: int) -> int:
    """How many GPUs a stage holds: Megatron all of a node, vLLM as many as its sizes say, the embedded backends one."""
    if "trainer" in stage.uses:
        return a_node if config.train.backend == "megatron" else min(1, a_node)
    if "engine" in stage.uses and config.engine.name == "vllm":
        return config.engine.tensor_parallel * config.engine.data_parallel
    return min(1, a_node) if "engine" in stage.uses and config.engine.name == "embedded" else 0


def _require_no_containers(config: RunConfig) -> None:
    for name, image in asdict(config.container).items():
        if image:
            raise ConfigError(
                f"container.{name} = {image!r}: nothing runs in a container on this machine; name a cluster's --executor, or "
                f"set python.{name} to an interpreter"
            )


def _exit_with_verdict(run_dir: Path) -> None:
    """NeMo-Run does not hand on a local job's exit status: the run directory says how it ended."""
    try:
        status = read_json(run_dir / layout.MANIFEST)["stages"]["gate"]["facts"]["exit_code"]
    except (DataError, KeyError, TypeError):
        raise ConfigError(
            f"the run did not reach its verdict; see the log above, and: ssd run --run-dir {run_dir}"
        ) from None
    if status:
        raise SystemExit(status)
