"""What a stage's job asks of a cluster beside its GPUs: a whole node, its memory and processors, shared memory, caches that
outlive the container. What the user set on the executor stays."""

import os
import posixpath
from typing import Any

from ssd_plugin.errors import ConfigError

# From the environment of the `nemo` command into the jobs' own. No secret is written into a job file: Slurm hands HF_TOKEN on
# by itself, Kubernetes takes it from a secret.
PASSED = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "NCCL_IB_HCA", "NCCL_DEBUG", "HF_ENDPOINT", "HF_HUB_OFFLINE")
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
}
TOKEN = {
    "name": "HF_TOKEN",
    "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "HF_TOKEN", "optional": True}},
}
SHM = "dshm"  # vLLM and NCCL talk through /dev/shm, of which a pod has 64 MB by itself


def ask_for_node(executor: Any, run_dir: str) -> None:
    """Change a stage's executor, whose GPUs are set already."""
    shared = posixpath.dirname(posixpath.normpath(run_dir))
    executor.env_vars = environment(shared) | executor.env_vars
    if hasattr(executor, "exclusive"):
        _slurm(executor)
    elif hasattr(executor, "env_list"):
        _kubernetes(executor)
    elif hasattr(executor, "storage_mounts"):
        _skypilot(executor, run_dir)


def environment(shared: str) -> dict[str, str]:
    """Caches beside the run directories, on the storage that the jobs share: a container's own are gone with it."""
    caches = {name: posixpath.join(shared, "cache", folder) for name, folder in CACHES.items()}
    home = os.environ.get("HF_HOME") or posixpath.join(shared, "cache", "huggingface")
    return {"HF_HOME": home, **caches} | {name: os.environ[name] for name in PASSED if os.environ.get(name)}


def _slurm(executor: Any) -> None:
    # An srun step has one processor a task by itself, which all ranks of the node would share.
    executor.env_vars = {"SRUN_CPUS_PER_TASK": "${SLURM_CPUS_ON_NODE:-1}"} | executor.env_vars
    if executor.container_image and executor.srun_args is None:
        executor.srun_args = ["--no-container-mount-home", "--container-writable"]
    if not executor.gpus_per_node:
        return  # grading and downloads need no node to themselves
    if executor.exclusive is None:
        executor.exclusive = True
    if executor.mem is None and executor.mem_per_gpu is None and executor.mem_per_cpu is None:
        executor.mem = "0"  # all of the node's


def _kubernetes(executor: Any) -> None:
    if not any(mount["mountPath"] == "/dev/shm" for mount in executor.volume_mounts):  # noqa: S108 - a mount point
        executor.volumes = [*executor.volumes, {"name": SHM, "emptyDir": {"medium": "Memory"}}]
        executor.volume_mounts = [*executor.volume_mounts, {"name": SHM, "mountPath": "/dev/shm"}]  # noqa: S108
    if not any(entry.get("name") == TOKEN["name"] for entry in executor.env_list):
        executor.env_list = [*executor.env_list, TOKEN]
    processors, memory = ("64", "512Gi") if executor.gpus_per_node else ("8", "32Gi")
    executor.cpu_requests = executor.cpu_requests or processors
    executor.memory_requests = executor.memory_requests or memory


def _skypilot(executor: Any, run_dir: str) -> None:
    for target in executor.file_mounts or {}:
        if posixpath.normpath(run_dir).startswith(posixpath.normpath(target) + "/"):
            raise ConfigError(
                f"run.executor.file_mounts copies {target} to each machine and nothing back: bring the run directory's storage "
                "with storage_mounts, or a volume in cluster_config_overrides"
            )
