"""A child of the zygote between its fork and the program's first line: descriptors into place, limits on, doors shut.

Every page of memory that a child touches is copied for it, which costs more than the code that touches it: hence the
few, plain steps.
"""

import gc
import marshal
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from signal import SIGKILL
from typing import Any, NoReturn

from ssd_plugin.sandbox import landlock, libc, limits
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.seccomp import Filter

PAYLOAD, MARK, RULES = 5, 6, 7  # descriptors that are closed before the program starts
SLOTS = 8  # the zygote keeps its own descriptors above these
_MOST_DESCRIPTORS = 1024


@dataclass(frozen=True, kw_only=True)
class Locks:
    """What the zygote (`parent`, its process id) made ready: Landlock rules and system-call filter (None in tier rlimits),
    the pipe on which a child says that it is locked, and the most tasks that its user id may have."""

    rules: int | None
    filter: Filter | None
    mark: int
    threads: int
    parent: int


def run(role: Callable[[dict[str, Any]], None], given: Mapping[int, int], room: Limits, locks: Locks) -> NoReturn:
    """Become the process that plays `role`; `given` says which descriptor comes into which slot."""
    code = 70
    try:
        _die_with(locks.parent)
        _place(given, locks)
        job = marshal.loads(os.pread(PAYLOAD, os.fstat(PAYLOAD).st_size, 0))  # noqa: S302 - written by the grader
        if "stdin" in job:
            _feed(job.pop("stdin"))
        _lock(room, locks)
        role(job)
        code = 0
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """Let the kernel end this process with the zygote: one that is killed can end nobody."""
    libc.prctl(libc.PDEATHSIG, int(SIGKILL))
    if os.getppid() != parent:
        os._exit(70)  # it died before that was said


def _place(given: Mapping[int, int], locks: Locks) -> None:
    """Put the descriptors into their slots, /dev/null into the others, and close the rest."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    sources = {MARK: locks.mark, **given}
    if locks.rules is not None:
        sources[RULES] = locks.rules
    for slot in range(SLOTS):
        os.dup2(sources.get(slot, null), slot)
    os.closerange(SLOTS, _MOST_DESCRIPTORS)


def _lock(room: Limits, locks: Locks) -> None:
    limits.apply(room, threads=locks.threads)
    if locks.rules is not None:
        landlock.restrict(RULES)
    gc.enable()
    if locks.filter is not None:
        locks.filter.install()
    os.write(MARK, b"1")
    os.closerange(PAYLOAD, SLOTS)


def _feed(text: str) -> None:
    """Make `text` the standard input: a memory file, so it can be of any length and read in any way."""
    file = os.memfd_create("stdin")
    try:
        data = text.encode("utf-8", "surrogateescape")  # as the program's own standard input decodes it
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say
        data = text.encode("utf-8", "surrogatepass")
    while data:
        data = data[os.write(file, data) :]
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)
    os.close(file)
