"""How to start a process that knows what this one does: forked while no other thread can hold a lock, else from a clean host."""

import contextlib
import ctypes
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkContext, ForkServerContext
from pathlib import Path
from types import ModuleType

_libc = ctypes.PyDLL(None)  # keeps the interpreter's lock: the child has the only thread that could give it back


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
        child = _libc.fork()  # not os.fork: OpenBLAS' own fork handler ends its threads, Python's would look for locks
        if child == 0:
            os._exit(0)
        if child > 0:
            os.waitpid(child, 0)
    return _threads() == 1


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())
