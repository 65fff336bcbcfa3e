"""What `test_isolation` runs in another process: by name, since a clean host has to find it."""

import os
import threading
from pathlib import Path

from ssd_plugin.gating.verdict import GateResult, GateStatus

LOCK = threading.Lock()


def threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def takes_the_lock() -> list[GateResult]:
    """PASS where nobody holds the lock; the reason says where this ran."""
    free = LOCK.acquire(timeout=5)
    said = f"{Path.cwd()} {os.environ.get('APART', '')} {threads()}"
    return [GateResult(gate="probe", status=GateStatus.PASS if free else GateStatus.BREACH, reason=said)]


def hangs() -> list[GateResult]:
    threading.Event().wait()
    return []
