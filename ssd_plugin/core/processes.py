"""How to start a process that knows what this one does: forked while no other thread can hold a lock, else from a clean host."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkContext, ForkServerContext
from pathlib import Path
from types import ModuleType


@contextlib.contextmanager
def starting(imports: Sequence[str]) -> Iterator[ForkContext | ForkServerContext]:
    """The context to start a process from: `fork` where this process has one thread; otherwise `forkserver`, whose host
    imports `imports` once. A lock that another thread holds at a fork stays held in the child for ever.

    From the host a target and its arguments go as pickles, without the caller's script, which may have no guard against being
    run again; and the environment is the one at the host's first use: pass on what may have changed since.
    """
    if _alone():
        yield multiprocessing.get_context("fork")
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(imports))
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield context
    finally:
        sys.modules["__main__"] = script


def _alone() -> bool:
    """Whether this process has one thread, of Python or of a library, once the idle ones of OpenBLAS are gone."""
    if threading.active_count() == 1 and _threads() > 1:
        # OpenBLAS' own fork handler ends its threads. No Python may run in that child: it could wait for a thread that asked for
        # the interpreter's lock and is not there after the fork. `user` makes this a fork; a vfork calls no handlers.
        with contextlib.suppress(OSError):
            subprocess.run(["/bin/true"], user=os.geteuid(), check=False)
    return _threads() == 1


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())
