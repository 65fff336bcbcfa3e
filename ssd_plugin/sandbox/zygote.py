"""The zygote: one bare interpreter inside the sandbox that forks a locked-down child for each graded program.

It never sees a program, an input or a result: those travel in descriptors that it hands on to the child, so nothing
of one program is left in the memory that the next one inherits.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ssd_plugin.sandbox import landlock, libc, limits, namespaces, programs, scratch, seccomp, suites
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.seccomp import Filter

# What programs and suites commonly import: loaded once here, for free in every child.
COMMON = [
    "abc",
    "array",
    "bisect",
    "calendar",
    "collections",
    "collections.abc",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "numbers",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "textwrap",
    "threading",
    "time",
    "typing",
    "encodings.idna",
    "encodings.latin_1",
    "tempfile",
]
CANCEL = b"cancel"
_POLL_MS = 20
_MESSAGE = 65536

_PAYLOAD, _MARK, _RULES = 5, 6, 7  # descriptors that are closed before the program starts

# What each child of a job does and the descriptors it is given: payload first, then the pipes that the parent reads.
_ROLES = {
    "function": ((programs.run_function, ("payload", "report")),),
    "stdio": ((programs.run_stdio, ("payload", "report", "output")),),
    "assert": ((programs.serve, ("payload",)), (suites.run_suite, ("payload", "report"))),
}


class Zygote:
    """State: the control socket, the tier's rule set and filter, and the scratch directory."""

    def __init__(self, control: socket.socket, setup: dict[str, Any]) -> None:
        self.control = control
        self.tier: str = setup["tier"]
        self.scratch: str = setup["scratch"]
        self.threads: int = setup["threads"]
        self.rules: int | None = None
        self.filter: Filter | None = None
        self.locked, self.mark = os.pipe2(os.O_NONBLOCK)
        self.notes: list[str] = []

    def confine(self, setup: dict[str, Any]) -> None:
        """Enter the tier.

        Raises:
            OSError: it is not available here.
        """
        libc.fail_on_other_systems()
        room = Limits(**setup["limits"])
        if self.tier == "namespaces":
            namespaces.enter(
                root=setup["root"], readable=setup["readable"], binds=setup["binds"], scratch=self.scratch,
                size_mib=room.scratch_mib, files=room.scratch_files,
            )  # fmt: skip
        elif os.geteuid() == 0:
            with contextlib.suppress(OSError):  # no such user here: then it stays ours, as do the programs
                os.chown(self.scratch, namespaces.NOBODY, namespaces.NOBODY)
            self.notes += filter(None, [namespaces.become_nobody()])
            libc.drop_capabilities()
        libc.prctl(libc.NO_NEW_PRIVS, 1)
        if self.tier == "rlimits":
            libc.prctl(libc.CHILD_SUBREAPER, 1)
        else:
            self._make_rules(setup)
            self.filter = Filter(seccomp.for_program(libc.machine()))
            Filter(seccomp.for_zygote(libc.machine())).install()
        os.chdir(self.scratch)

    def _make_rules(self, setup: dict[str, Any]) -> None:
        wanted = [*setup["readable"], *setup["binds"], *setup["site"], *namespaces.DEVICES]
        readable = [path for path in wanted if Path(path).exists()]
        try:
            self.rules = landlock.ruleset(readable=readable, writable=[self.scratch])
        except OSError as error:
            if self.tier == "landlock":
                raise
            self.notes.append(f"no second layer of file rules ({error})")

    def serve(self) -> None:
        """Run jobs until the supervisor closes the socket."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.control, _MESSAGE, 8)
            if not message:
                return
            if message == CANCEL:  # it crossed with the end of the job it was meant for
                continue
            try:
                answer = self._run(json.loads(message), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            self.control.send(json.dumps(answer).encode())

    def _run(self, job: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        room = Limits(**job["limits"])
        roles = _ROLES[job["kind"]]
        peers = [end.detach() for end in socket.socketpair()] if len(roles) == 2 else []
        waiting = list(descriptors)
        children: list[int] = []
        try:
            for index, (run, names) in enumerate(roles):
                given = {name: waiting.pop(0) for name in names}
                if peers:
                    given["peer"] = peers[index]
                child = os.fork()
                if child == 0:
                    self._child(run, given, room)  # never returns
                children.append(child)
        finally:
            for peer in peers:
                os.close(peer)
        return self._wait(children, room)

    def _child(self, run: Callable[[dict[str, Any]], None], given: dict[str, int], room: Limits) -> NoReturn:
        code = 70
        try:
            self._place(given)
            job = json.loads(_read_all(_PAYLOAD))
            if "stdin" in job:
                _feed(job.pop("stdin"))
            self._lock(room)
            run(job)
            code = 0
        finally:
            os._exit(code)

    def _place(self, given: dict[str, int]) -> None:
        """Put the descriptors where the roles expect them; close all others."""
        os.setsid()
        wanted = {0: None, 1: given.get("output"), 2: None, programs.REPORT: given.get("report")}
        wanted |= {programs.PEER: given.get("peer"), _PAYLOAD: given["payload"], _MARK: self.mark, _RULES: self.rules}
        null = os.open("/dev/null", os.O_RDWR)
        # First out of the way of the fixed numbers, then into place.
        high = {at: os.dup2(null if source is None else source, 100 + at) for at, source in wanted.items()}
        for at, source in high.items():
            os.dup2(source, at)
        os.closerange(max(wanted) + 1, 1024)

    def _lock(self, room: Limits) -> None:
        limits.apply(room, threads=self.threads)
        if self.rules is not None:
            landlock.restrict(_RULES)
        gc.enable()
        if self.filter is not None:
            self.filter.install()
        os.write(_MARK, b"1")
        os.closerange(_PAYLOAD, _RULES + 1)

    def _wait(self, children: list[int], room: Limits) -> dict[str, Any]:
        """Wait for the last child (the one that reports), then end the others; kills at the wall limit."""
        watched = {os.pidfd_open(child): child for child in children}
        poll = select.poll()
        for descriptor in (*watched, self.control.fileno()):
            poll.register(descriptor, select.POLLIN)
        reason = self._watch(poll, watched, room)
        ends = []
        for descriptor, child in watched.items():
            killed = not select.select([descriptor], [], [], 0)[0]
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            if self.tier == "rlimits":
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            cpu = usage.ru_utime + usage.ru_stime
            ends.append({"status": status, "cpu": cpu, "memory_kib": usage.ru_maxrss, "killed": killed})
            os.close(descriptor)
        if self.tier == "rlimits":
            _end_orphans()
        scratch.empty(self.scratch)
        return {"ends": ends, "reason": reason if self._all_locked(len(children)) else "unlocked"}

    def _all_locked(self, count: int) -> bool:
        """Whether every child got as far as its lock: otherwise the sandbox failed, not the program."""
        try:
            return len(os.read(self.locked, 16)) == count
        except BlockingIOError:
            return False

    def _watch(self, poll: select.poll, watched: dict[int, int], room: Limits) -> str:
        reporter = list(watched)[-1]
        deadline, before = time.monotonic() + room.wall_seconds, 0.0
        bounded = self.tier == "namespaces"  # by the size of the memory file system
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                used = sum(map(_cpu_seconds, watched.values()))
                if used - before < room.busy_share * room.wall_seconds:
                    return "wall"
                left, before = room.wall_seconds, used
                deadline = time.monotonic() + left
            ready = dict(poll.poll(left * 1000 if bounded else min(left * 1000, _POLL_MS)))
            if reporter in ready:
                return ""
            if self.control.fileno() in ready:
                if not self.control.recv(_MESSAGE):
                    os._exit(0)  # the supervisor is gone
                return "output"
            if not bounded and scratch.is_over(self.scratch, room):
                return "scratch"
            for descriptor in ready:
                poll.unregister(descriptor)  # the program's process ended first; its suite will notice


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


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)


def _feed(text: str) -> None:
    """Make `text` the standard input: a memory file, so it can be of any length and read in any way."""
    file = os.memfd_create("stdin")
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(file, data) :]
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)
    os.close(file)


def _follow(moved: list[str]) -> None:
    """Packages that are loaded already look for their modules in the library's readable copy from now on."""
    if moved:
        for module in list(sys.modules.values()):
            if places := getattr(module, "__path__", None):
                module.__path__ = [place.replace(*moved, 1) for place in places]


def main(descriptor: int) -> None:
    """Read the setup, enter the tier, say so (or why not), then serve."""
    control = socket.socket(fileno=descriptor)
    setup = json.loads(control.recv(_MESSAGE))
    try:
        sys.path[:] = [*setup["library"], *setup["site"]]
        _follow(setup["moved"])
        for name in (*COMMON, *setup["imports"]):
            importlib.import_module(name)
        zygote = Zygote(control, setup)
        zygote.confine(setup)
    except (OSError, ImportError) as error:
        control.send(json.dumps({"error": f"{type(error).__name__}: {error}"[:500]}).encode())
        return
    os.environ.clear()
    os.environ.update({"HOME": zygote.scratch, "TMPDIR": zygote.scratch, "LANG": "C.UTF-8"})
    sys.argv = ["program"]
    gc.collect()
    gc.freeze()
    gc.disable()
    control.send(json.dumps({"ready": True, "notes": zygote.notes}).encode())
    zygote.serve()
