"""The few Linux calls that Python's `os` lacks, through ctypes (no dependency to install, nothing to compile)."""

import ctypes
import os
import sys
from pathlib import Path

NO_NEW_PRIVS = 38
PDEATHSIG = 1
DUMPABLE = 4
CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
MS_NOATIME, MS_NODIRATIME, MS_RELATIME = 1024, 2048, 1 << 21
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_gil = ctypes.PyDLL(None)
_MOUNT_SETATTR, _AT_RECURSIVE = 442, 0x8000  # the same on every machine
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}


def check(result: int, what: str) -> int:
    """`result`, or the OSError that errno names when it is negative."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def machine() -> str:
    """The machine name that the system-call tables use: `x86_64` or `aarch64` (others are refused there)."""
    return os.uname().machine


def syscall(number: int, *arguments: object) -> int:
    """A raw system call; negative on failure with errno kept for `check`."""
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


def fork() -> int:
    """`fork(2)` for a process with one thread: 0 in the child. Python's own fork handlers do not run.

    They exist for locks that another thread may hold, and touch some hundred pages, each of which is then copied.

    Raises:
        OSError: no process or no memory left.
    """
    process = int(_libc_with_gil.fork())
    if process < 0:
        raise OSError("fork: no process or no memory left")
    return process


def flush_c_streams() -> None:
    """`fflush(3)` of every stream of C."""
    _libc.fflush(None)


def prctl(option: int, first: object = 0, second: object = 0) -> int:
    """`prctl(2)`.

    Raises:
        OSError: the kernel refused.
    """
    long = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in (first, second)]
    return check(int(_libc.prctl(option, *long, ctypes.c_ulong(0), ctypes.c_ulong(0))), f"prctl {option}")


def unshare(flags: int) -> None:
    """`unshare(2)`.

    Raises:
        OSError: not permitted here.
    """
    check(int(_libc.unshare(ctypes.c_int(flags))), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """`mount(2)`.

    Raises:
        OSError: not permitted here, or a path is missing.
    """
    encoded = [os.fsencode(text) if text else None for text in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    check(int(result), f"mount {target}")


def make_read_only(path: str, *, devices: bool) -> None:
    """Make the mount at `path` and all below it read-only and without set-uid programs (`mount_setattr(2)`, Linux 5.12).

    Raises:
        OSError: an older kernel, or not permitted here.
    """
    attributes = (ctypes.c_uint64 * 4)(MS_RDONLY | MS_NOSUID | (0 if devices else MS_NODEV), 0, 0, 0)
    flags = ctypes.c_uint(_AT_RECURSIVE)
    found = syscall(_MOUNT_SETATTR, ctypes.c_int(-1), os.fsencode(path), flags, attributes, ctypes.c_size_t(32))
    check(found, f"mount_setattr {path}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and hang the old one under `old`, then detach it.

    Raises:
        OSError: not permitted here.
    """
    check(syscall(_PIVOT_ROOT[machine()], os.fsencode(new), os.fsencode(old)), "pivot_root")
    os.chdir("/")
    hidden = "/" + os.path.relpath(old, new)
    check(int(_libc.umount2(os.fsencode(hidden), MNT_DETACH)), "umount old root")
    Path(hidden).rmdir()


def drop_capabilities() -> None:
    """Empty the three capability sets of this thread (the process must be single-threaded).

    Raises:
        OSError: the kernel refused.
    """
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    check(syscall(_CAPSET[machine()], header, (ctypes.c_uint32 * 6)()), "capset")


def change_user(uid: int) -> None:
    """Become `uid` (user, group, no other groups) for good.

    Raises:
        OSError: not privileged enough.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def fail_on_other_systems() -> None:
    """Raises:
    OSError: this is not Linux on a machine whose system-call numbers we know.
    """
    if sys.platform != "linux" or machine() not in _CAPSET:
        raise OSError(f"needs Linux on {' or '.join(_CAPSET)}, this is {sys.platform} on {machine()}")
