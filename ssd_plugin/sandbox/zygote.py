"""The zygote: one bare interpreter inside the sandbox that forks a locked-down child for each graded program.

It never sees a program, an input or a result: those travel in descriptors that it hands on to the child, so nothing
of one program is left in the memory that the next one inherits.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssd_plugin.sandbox import child, landlock, libc, namespaces, programs, seccomp, streams, suites
from ssd_plugin.sandbox.child import Locks
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.seccomp import Filter
from ssd_plugin.sandbox.watch import Watch

# What most programs import, loaded once for all of them. Every page and mapping costs each fork, so what few programs
# import is not here: a child can load it itself, and the grader names what its tasks import.
COMMON = [
    "abc",
    "array",
    "bisect",
    "collections",
    "collections.abc",
    "copy",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "threading",
    "time",
    "typing",
    "encodings.latin_1",
]
CANCEL = b"cancel"
_MESSAGE = 65536

# What each child of a job does, and the slots for the descriptors that come with the job, in their order.
_Role = tuple[Callable[[dict[str, Any]], None], tuple[int, ...]]
_ROLES: dict[str, tuple[_Role, ...]] = {
    "function": ((programs.run_function, (child.PAYLOAD, programs.REPORT)),),
    "stdio": ((programs.run_stdio, (child.PAYLOAD, programs.REPORT, 1)),),
    "beside": ((suites.run_beside, (child.PAYLOAD, programs.REPORT)),),
    "assert": ((programs.serve, (child.PAYLOAD,)), (suites.run_suite, (child.PAYLOAD, programs.REPORT))),
}


class Zygote:
    """State: the control socket, what locks a child, and the watch over it."""

    def __init__(self, control: socket.socket, setup: dict[str, Any]) -> None:
        while os.open("/dev/null", os.O_RDWR) < child.SLOTS:
            pass  # what is opened from here on has a number that no slot has
        self.control = control
        self.tier: str = setup["tier"]
        self.scratch: str = setup["scratch"]
        self.notes: list[str] = []
        self._threads: int = setup["threads"]
        locked, self._mark = os.pipe2(os.O_NONBLOCK)
        self._watch = Watch(
            control=control, locked=locked, scratch=self.scratch, scratch_bounded=self.tier == "namespaces",
            orphans=self.tier == "rlimits",
        )  # fmt: skip
        self._locks = self._make_locks(None, None)

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
        libc.prctl(libc.DUMPABLE, 0)  # children inherit it: none can read or write the memory of another
        if self.tier == "rlimits":
            libc.prctl(libc.CHILD_SUBREAPER, 1)
        else:
            rules, filter_ = self._make_rules(setup), Filter(seccomp.for_program(libc.machine()))
            self._locks = self._make_locks(rules, filter_)
            Filter(seccomp.for_zygote(libc.machine())).install()
        os.chdir(self.scratch)

    def _make_locks(self, rules: int | None, filter_: Filter | None) -> Locks:
        """Anew once confined: namespaces change the process id."""
        return Locks(rules=rules, filter=filter_, mark=self._mark, threads=self._threads, parent=os.getpid())

    def _make_rules(self, setup: dict[str, Any]) -> int | None:
        wanted = [*setup["readable"], *setup["binds"], *setup["site"], *namespaces.DEVICES]
        readable = [path for path in wanted if Path(path).exists()]
        try:
            sinks = [path for path in namespaces.SINKS if Path(path).exists()]
            return landlock.ruleset(readable=readable, writable=[self.scratch], sinks=sinks)
        except OSError as error:
            if self.tier == "landlock":
                raise
            self.notes.append(f"no second layer of file rules ({error})")
            return None

    def serve(self) -> None:
        """Run jobs until the supervisor closes the socket."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.control, _MESSAGE, 8)
            if not message:
                return
            if message == CANCEL:  # it crossed with the end of the job it was meant for
                continue
            try:
                answer = self._run(*_parsed(message), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            self.control.send(json.dumps(answer).encode())

    def _run(self, roles: tuple[_Role, ...], room: Limits, descriptors: list[int]) -> dict[str, Any]:
        peers = [end.detach() for end in socket.socketpair()] if len(roles) == 2 else []
        waiting = iter(descriptors)
        children: list[int] = []
        try:
            for index, (role, slots) in enumerate(roles):
                given = dict(zip(slots, waiting, strict=False))
                if peers:
                    given[programs.PEER] = peers[index]
                process = libc.fork()
                if process == 0:
                    child.run(role, given, room, self._locks)  # never returns
                children.append(process)
        finally:
            for peer in peers:
                os.close(peer)
        return self._watch.until_end(children, room)


@functools.lru_cache(maxsize=64)
def _parsed(message: bytes) -> tuple[tuple[_Role, ...], Limits]:
    job = json.loads(message)
    return _ROLES[job["kind"]], Limits(**job["limits"])


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
    streams.give_names()
    gc.collect()
    gc.freeze()
    gc.disable()
    control.send(json.dumps({"ready": True, "notes": zygote.notes}).encode())
    zygote.serve()
