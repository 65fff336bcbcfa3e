"""What the tables of the benchmarks share: the machine's facts, CPU time, peak memory, and one process a contestant."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def facts(*packages: str) -> str:
    """One line: processor, cores, load, versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(
        (line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), platform.machine()
    )
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = f"{os.getloadavg()[0]:.0f}"
    return f"{model}, {os.cpu_count()} cores, load {load} at the start; Python {platform.python_version()}, {versions}"


def gemm_rate() -> float:
    """FLOP per CPU-second of one thread's float32 matrix product (64 rows, the best of ten): what decoding can reach."""
    import torch

    torch.set_num_threads(1)
    left, right = torch.randn(64, 1536), torch.randn(1536, 1536)
    best = float("inf")
    for _ in range(10):
        began = time.process_time()
        for _ in range(10):
            left @ right
        best = min(best, time.process_time() - began)
    return 2 * 64 * 1536 * 1536 * 10 / best


class Meter:
    """CPU and wall seconds since it was made, and the process's peak memory."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def read(self) -> dict[str, float]:
        """Seconds, seconds, gigabytes."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        return {"cpu_s": time.process_time() - self._cpu, "wall_s": time.monotonic() - self._wall, "peak_gb": peak}


def contest(
    script: str, contestants: dict[str, Callable[..., dict[str, Any]]], arguments: list[str]
) -> dict[str, dict[str, Any]]:
    """Run each contestant in a process of its own, one thread, and collect what it prints as its last line."""
    found = {}
    for name in contestants:
        command = [sys.executable, script, *arguments, "--only", name]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
        found[name] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def write(name: str, title: str, machine: str, note: str, header: list[str], rows: list[list[str]], raw: Any) -> None:
    """Print the table and write it with its raw figures under `results/`."""
    lines = [f"# {title}", "", machine, "", note, "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    text = "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(text)
