"""The GPUs of this machine, by nvidia-smi: no framework has to be imported to count them."""

import os
import re
import subprocess
from dataclasses import dataclass

PATIENCE = 60  # seconds for the driver to answer
NODES = "SSD_NODES"  # in the environment of a stage: on how many nodes like this one it runs (`ssd train --nodes`)
QUERY = ["nvidia-smi", "--query-gpu=index,uuid,memory.total,compute_cap", "--format=csv,noheader,nounits"]
BLACKWELL = 10.0  # the least compute capability of its GPUs


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """How many this process may use (0: none, or no driver), the bytes of the smallest of them, and the least of their compute
    capabilities (0: not known)."""

    count: int
    bytes: float
    capability: float = 0.0


def find_gpus() -> Gpus:
    """Ask the driver, within CUDA_VISIBLE_DEVICES."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=PATIENCE, check=True)  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError):
        return Gpus(count=0, bytes=0)
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.count(",") >= 2]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        rows = [row for row in rows if any(row[0] == name or row[1].startswith(name) for name in names)]
    found = [row for row in rows if row[2].isdigit()]
    capabilities = [float(cell) if re.fullmatch(r"\d+\.\d+", cell) else 0.0 for row in found for cell in row[3:4]]
    return Gpus(
        count=len(found),
        bytes=min((float(row[2]) * 2**20 for row in found), default=0),
        capability=min(capabilities, default=0.0),
    )


def nodes_together() -> int:
    """On how many nodes this stage runs, this one included."""
    return int(os.environ.get(NODES, "1"))
