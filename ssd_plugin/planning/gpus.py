"""The GPUs of this machine, by nvidia-smi: no framework has to be imported to count them."""

import os
import subprocess
from dataclasses import dataclass

PATIENCE = 60  # seconds for the driver to answer
QUERY = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
DEFAULT_GB = 180  # a B200, which the shipped recipes are made for

# By the names that schedulers use; gigabytes as sold.
MEMORY_GB = {
    "B300": 288, "B200": 180, "GB200": 186, "H200": 141, "H100": 80, "A100-80GB": 80, "A100": 40, "L40S": 48, "L4": 24,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """How many this process may use (0: none, or no driver), and the bytes of the smallest of them."""

    count: int
    bytes: float


def find_gpus() -> Gpus:
    """Ask the driver, within CUDA_VISIBLE_DEVICES."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=PATIENCE, check=True)  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError):
        return Gpus(count=0, bytes=0)
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 2]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        rows = [row for row in rows if any(row[0] == name or row[1].startswith(name) for name in names)]
    sizes = [float(memory) * 2**20 for _, _, memory in rows if memory.isdigit()]
    return Gpus(count=len(sizes), bytes=min(sizes, default=0))


def memory_of(kind: str) -> float:
    """Bytes of a GPU by its name ("H100:8" too); a name that is not known is taken for the recipes' own hardware."""
    return MEMORY_GB.get(kind.partition(":")[0].upper(), DEFAULT_GB) * 1e9
