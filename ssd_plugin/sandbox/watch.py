"""The zygote's watch over the processes of one job: waits for the last, ends those that take more than they may."""

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssd_plugin.sandbox import scratch
from ssd_plugin.sandbox.limits import Limits

_MESSAGE = 64
_SCRATCH_SECONDS = 0.02  # between two looks at a scratch directory that the kernel does not bound
_LEAST_LOOK = 0.02
_LOCK_SECONDS = 60.0  # a loaded machine may take long to get a child to its lock; that time is not the program's


@dataclass(kw_only=True)
class Watch:
    """`scratch_bounded`: by the kernel. `orphans`: programs can fork here, so theirs are looked for and ended.

    `locked` is the reading end of the pipe on which each child writes a byte once it is confined.
    """

    control: socket.socket
    locked: int
    scratch: str
    scratch_bounded: bool
    orphans: bool
    _marks: int = field(default=0, init=False)

    def until_end(self, children: list[int], room: Limits) -> dict[str, Any]:
        """Wait for the last child (the one that reports), then end the others; the answer for the grader.

        `reason` in it: empty when the reporter ended by itself, else `cpu`, `wall`, `scratch`, `output` (the limit that
        ended it) or `unlocked` (a child could not be confined).
        """
        self._marks = 0
        watched = {os.pidfd_open(child): child for child in children}
        reason = self._watch(watched, room)
        ends = [self._end(descriptor, child) for descriptor, child in watched.items()]
        if self.orphans:
            _end_orphans()
        scratch.empty(self.scratch)
        return {"ends": ends, "reason": reason if self._all_locked(len(children)) else "unlocked"}

    def _watch(self, watched: dict[int, int], room: Limits) -> str:
        poll = select.poll()
        for descriptor in (*watched, self.control.fileno()):
            poll.register(descriptor, select.POLLIN)
        reporter = list(watched)[-1]
        start = time.monotonic()
        wall, look, before = start + room.wall_seconds, start + room.cpu_seconds, 0.0
        while True:
            until = min(wall, look) - time.monotonic()
            if not self.scratch_bounded:
                until = min(until, _SCRATCH_SECONDS)
            ready = poll.poll(max(0.0, until) * 1000)
            if any(descriptor == reporter for descriptor, _ in ready):
                return ""
            for descriptor, _ in ready:
                if descriptor == self.control.fileno():
                    return self._cancelled(watched)
                poll.unregister(descriptor)  # the program's process ended first; its suite will notice
            if not self.scratch_bounded and scratch.is_over(self.scratch, room):
                return "scratch"
            now = time.monotonic()
            if now < min(wall, look):
                continue
            used = [_cpu_seconds(child) for child in watched.values()]
            if max(used) >= room.cpu_seconds:
                return "cpu"
            look = now + max(_LEAST_LOOK, room.cpu_seconds - max(used))
            if now >= wall:
                waits = sum(used) - before >= room.busy_share * room.wall_seconds  # for a processor, not for nothing
                starts = now < start + _LOCK_SECONDS and not self._all_locked(len(watched))
                if not (waits or starts):
                    return "wall"
                wall, before = now + room.wall_seconds, sum(used)

    def _cancelled(self, watched: dict[int, int]) -> str:
        message = b""
        with contextlib.suppress(ConnectionError):
            message = self.control.recv(_MESSAGE)
        if message:
            return "output"
        # The supervisor is gone. Where no namespace ends with the zygote, nobody else would end what runs.
        for descriptor, child in watched.items():
            self._end(descriptor, child)
        if self.orphans:
            _end_orphans()
        os._exit(0)

    def _end(self, descriptor: int, child: int) -> dict[str, Any]:
        """Kill a child, unless it has ended, and reap it."""
        killed = not select.select([descriptor], [], [], 0)[0]
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if self.orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        os.close(descriptor)
        cpu = usage.ru_utime + usage.ru_stime
        return {"status": status, "cpu": cpu, "memory_kib": usage.ru_maxrss, "killed": killed}

    def _all_locked(self, count: int) -> bool:
        """Whether every child got as far as its lock: otherwise the sandbox failed, not the program."""
        with contextlib.suppress(BlockingIOError):
            self._marks += len(os.read(self.locked, 16))
        return self._marks == count


def _cpu_seconds(process: int) -> float:
    """CPU time of a child so far; a clock's number is made from the process' as clock_getcpuclockid(3) does."""
    return time.clock_gettime((~process << 3) | 2)


def _end_orphans() -> None:
    """Kill what double-forked away from a program: its orphans become ours (child subreaper)."""
    while True:
        orphans = [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_bytes().split()]
        if not orphans:
            return
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(orphan, 0)
