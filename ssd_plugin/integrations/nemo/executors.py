"""Where a run may be sent, by name: `--executor slurm run.executor.account=ACCOUNT run.executor.nodes=2`.

A factory's arguments are fields of the executor, so each one can be set as `run.executor.FIELD=VALUE`, and so can every
other field. No `from __future__ import annotations` here: NeMo-Run evaluates these annotations.
"""

from typing import Any

import nemo_run as run
from nemo_run.core.execution.base import Executor

try:
    from nemo_run import KubeflowExecutor  # NeMo-Run from 0.11
except ImportError:
    KubeflowExecutor = None


@run.cli.factory(name="local")
def local() -> run.Config[run.LocalExecutor]:
    """In a process of its own on this machine."""
    return run.Config(run.LocalExecutor)


@run.cli.factory(name="torchrun")
def torchrun(devices: int = 8) -> run.Config[run.LocalExecutor]:
    """On this machine under torchrun, one rank per GPU. (An SSD recipe starts its own ranks, in its training stage alone.)"""
    return run.Config(run.LocalExecutor, ntasks_per_node=devices, launcher="torchrun")


@run.cli.factory(name="slurm")
def slurm(
    account: str = "default",
    partition: str = "batch",
    nodes: int = 1,
    gpus_per_node: int = 8,
    time: str = "08:00:00",
    container_image: str | None = None,
    container_mounts: list[str] | None = None,
) -> run.Config[run.SlurmExecutor]:
    """By sbatch. `container_image` and `container_mounts` ("/host:/container") are Pyxis'; `time` is the limit a stage."""
    return run.Config(
        run.SlurmExecutor,
        account=account,
        partition=partition,
        nodes=nodes,
        ntasks_per_node=gpus_per_node,
        gpus_per_node=gpus_per_node,
        time=time,
        container_image=container_image,
        container_mounts=container_mounts or [],
        additional_parameters={"kill-on-invalid-dep": "yes"},  # or the stages after a failed one wait for ever
        launcher="torchrun",
        packager=run.Config(run.Packager),
    )


@run.cli.factory(name="skypilot", target=Executor)
def skypilot(
    cloud: str | None = None,
    gpus: str = "B200",
    gpus_per_node: int = 8,
    num_nodes: int = 1,
    container_image: str | None = None,
    cluster_name: str | None = None,
) -> run.Config[run.SkypilotExecutor]:
    """On a cloud through SkyPilot; `file_mounts` and `storage_mounts` bring the shared storage."""
    return run.Config(
        run.SkypilotExecutor,
        cloud=cloud,
        gpus=gpus,
        gpus_per_node=gpus_per_node,
        num_nodes=num_nodes,
        container_image=container_image,
        cluster_name=cluster_name,
    )


@run.cli.factory(name="kubernetes", target=Executor)
def kubernetes(
    namespace: str = "default",
    image: str = "",
    num_nodes: int = 1,
    gpus_per_node: int = 8,
    volumes: list[dict[str, Any]] | None = None,
    volume_mounts: list[dict[str, Any]] | None = None,
) -> run.Config[Executor]:
    """On Kubernetes: a Kubeflow TrainJob; with a NeMo-Run that has none (before 0.11), through SkyPilot."""
    if KubeflowExecutor is None:
        return run.Config(
            run.SkypilotExecutor,
            cloud="kubernetes",
            gpus="B200",
            gpus_per_node=gpus_per_node,
            num_nodes=num_nodes,
            container_image=image or None,
        )
    return run.Config(
        KubeflowExecutor,
        namespace=namespace,
        image=image,
        num_nodes=num_nodes,
        gpus_per_node=gpus_per_node,
        nprocs_per_node=1,
        volumes=volumes or [],
        volume_mounts=volume_mounts or [],
    )


FACTORIES = {factory.__name__: factory for factory in (local, torchrun, slurm, kubernetes, skypilot)}
