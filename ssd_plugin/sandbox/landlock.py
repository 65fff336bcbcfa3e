"""Landlock: a process gives up, for good, every file it does not name (Linux 5.13+; docs.kernel.org/userspace-api/landlock).

ABI 1 is enough because the seccomp filter closes what it lacks (truncation, signals, sockets); newer ABIs add a
second lock on the same doors.
"""

import os
import stat
import struct
from collections.abc import Sequence

from ssd_plugin.sandbox import libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same numbers on every machine
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12, 1 << 13
_SCRATCH = _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE
_SCRATCH |= _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER


def abi() -> int:
    """The kernel's Landlock ABI, at least 1.

    Raises:
        OSError: no Landlock here (old kernel, not in the `lsm=` list, or a filter forbids it).
    """
    return libc.check(libc.syscall(_CREATE, None, 0, 1), "landlock")


def _handled(version: int) -> int:
    rights = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):
        if version >= since:
            rights |= 1 << bit
    return rights


def ruleset(*, readable: Sequence[str], writable: Sequence[str], sinks: Sequence[str]) -> int:
    """A file descriptor of a rule set: read below `readable`, full use below `writable`, nothing else.

    `sinks` are devices that may be read and written.

    From ABI 4 it also forbids TCP, from ABI 6 signals and abstract sockets that leave the domain.

    Raises:
        OSError: no Landlock here, or a path is missing.
    """
    version = abi()
    handled = _handled(version)
    attributes = struct.pack("QQQ", handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = libc.check(libc.syscall(_CREATE, attributes, len(attributes), 0), "landlock ruleset")
    os.set_inheritable(rules, False)
    allowed = (readable, _READ_FILE | _READ_DIR), (writable, _SCRATCH), (sinks, _READ_FILE | _WRITE_FILE | _TRUNCATE)
    for paths, rights in allowed:
        for path in paths:
            _allow(rules, path, rights & handled)
    return rules


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = struct.pack("=Qi", rights, place)
        libc.check(libc.syscall(_ADD_RULE, rules, 1, rule, 0), f"landlock rule for {path}")
    finally:
        os.close(place)


def restrict(rules: int) -> None:
    """Confine this process to `rules`; needs no-new-privileges.

    Raises:
        OSError: the kernel refused.
    """
    libc.check(libc.syscall(_RESTRICT, rules, 0), "landlock restrict")
