"""What the tables of the benchmarks share: the machine's facts, CPU time, peak memory, and one process a contestant."""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
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


def gemm_rate(dtype: str = "float32") -> float:
    """FLOP per CPU-second of one thread's matrix product (64 rows, weights packed and in the cache): what decoding can reach."""
    import torch

    torch.set_num_threads(1)
    rows, weight = (torch.randn(n, 1536).to(getattr(torch, dtype)) for n in (64, 1536))
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 64)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(12):
            began = time.process_time()
            for _ in range(10):
                torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")
            best = min(best, time.process_time() - began)
    return 2 * 64 * 1536 * 1536 * 10 / best


def memory_rate() -> float:
    """Bytes one thread reads per CPU-second from a buffer that no cache holds."""
    import torch

    buffer = torch.ones(64 * 2**20)
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        buffer.sum()
        best = min(best, time.process_time() - began)
    return buffer.nbytes / best


def peak_gb() -> float:
    """Peak resident memory of this process, in gigabytes. Not `getrusage`: that keeps the peak of whoever started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Meter:
    """CPU and wall seconds since it was made, children that ended included, and the process's peak memory."""

    def __init__(self) -> None:
        self._cpu, self._wall = cpu_seconds(), time.monotonic()

    def read(self) -> dict[str, float]:
        """Seconds, seconds, gigabytes."""
        return {"cpu_s": cpu_seconds() - self._cpu, "wall_s": time.monotonic() - self._wall, "peak_gb": peak_gb()}


Rounds = dict[str, list[dict[str, Any]]]
"""What each contestant printed, round by round."""


def contest(commands: dict[str, list[str]], rounds: int, threads: int = 1) -> Rounds:
    """Run the contestants one after the other, `rounds` times, each in a process of its own with so many threads, and collect
    what each prints as its last line. One that fails is out, with its error in the place of figures."""
    found: Rounds = {name: [] for name in commands}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "BENCH_THREADS": str(threads)}
    for _ in range(rounds):
        for name, command in commands.items():
            if any("failed" in row for row in found[name]):
                continue
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            row = {"failed": complaint(done.stderr)} if done.returncode else json.loads(done.stdout.splitlines()[-1])
            found[name].append(row)
            print(name, json.dumps(row), file=sys.stderr, flush=True)
    return found


def complaint(stderr: str) -> str:
    """The line of a failed process that says why: the first that names an error, else the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["no output"]
    named = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (named or lines[-1:])[0][:300].replace("|", "/")


def rates(rows: list[dict[str, Any]]) -> list[float]:
    """Tokens per CPU-second of each round."""
    return [row["tokens"] / row["cpu_s"] for row in rows]


def ratios(rows: list[dict[str, Any]], peers: list[dict[str, Any]]) -> list[float]:
    """How many times the peer's rate, round by round: the machine's mood is the same for both."""
    return [ours / theirs for ours, theirs in zip(rates(rows), rates(peers), strict=False)]


def spread(values: list[float], form: str = ".2f") -> str:
    """The median and, of several rounds, the range."""
    middle = f"{statistics.median(values):{form}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}} to {max(values):{form}})"


def write(name: str, title: str, machine: str, note: str, header: list[str], rows: list[list[str]], raw: Any) -> None:
    """Print the table and write it with its raw figures under `results/`."""
    lines = [f"# {title}", "", machine, "", note, "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    text = "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(text)
