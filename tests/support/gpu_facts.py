"""What GPU tests share: whether there is a GPU, how much of its memory was used at most, and a figure that is always shown."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ssd_plugin.core.gpus import find_gpus

PAUSE = 0.2  # seconds between looks at the memory
MEMORY = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
GPUS = find_gpus().count
needs_gpu = pytest.mark.skipif(GPUS == 0, reason="needs an NVIDIA GPU, and nvidia-smi shows none here")


@dataclass(kw_only=True)
class Peak:
    """`gib`: the most that was in use on the fullest GPU, by whatever process."""

    gib: float = 0.0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the memory of this machine's GPUs for as long as the block runs."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while True:
            done = subprocess.run(MEMORY, capture_output=True, text=True, timeout=60, check=True)
            peak.gib = max(peak.gib, *(float(line) / 1024 for line in done.stdout.split()))
            if over.wait(PAUSE):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
    assert peak.gib > 0, "nvidia-smi told no memory"


def show(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a measured figure, whatever pytest captures."""
    with capsys.disabled():
        print(f"\n{text}", flush=True)
