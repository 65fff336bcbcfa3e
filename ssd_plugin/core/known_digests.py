"""Digests of large files that have not changed since they were last read: a run reads a 60 GB model once, not once a stage.

Only for telling what a run still has to do. What is signed, verified or promoted is read again each time: a file's times are
the word of its file system, and who can write to a mapped file can change it without them.
"""

import os
import re
import stat
import time

from ssd_plugin.core.digests import read_sha256
from ssd_plugin.core.files import read_input
from ssd_plugin.core.user_state import state_file
from ssd_plugin.errors import DataError

LARGE = 16 << 20  # bytes; below it, reading costs no more than asking
_SETTLED_NS = 2_000_000_000  # a file written within the resolution of its times could change again and keep them
_LARGEST_RECORD = 1 << 20
_LINE = re.compile(r"([0-9:]+) ([0-9a-f]{64})")


def known_sha256(descriptor: int) -> str:
    """Hex SHA-256 of an open regular file. One of 16 MiB or more is read again only when inode, size or times changed."""
    before = os.fstat(descriptor)
    settled = max(before.st_mtime_ns, before.st_ctime_ns) < time.time_ns() - _SETTLED_NS
    if before.st_size < LARGE or not settled:
        return read_sha256(descriptor)
    key = _key(before)
    if digest := _recall().get(key):
        return digest
    digest = read_sha256(descriptor)
    if _key(os.fstat(descriptor)) == key:
        _remember(key, digest)
    return digest


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _recall() -> dict[str, str]:
    """What is known; nothing where there is no record or others may write it."""
    try:
        path = state_file("digests")
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return {}
        lines = read_input(path, _LARGEST_RECORD).decode("ascii").splitlines()
    except (OSError, RuntimeError, DataError, UnicodeDecodeError):  # RuntimeError: no home
        return {}
    return {match[1]: match[2] for line in lines if (match := _LINE.fullmatch(line))}


def _remember(key: str, digest: str) -> None:
    try:
        path = state_file("digests")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_file() and path.stat().st_size > _LARGEST_RECORD // 2:
            path.unlink()  # it begins anew: each file is read once more
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), "ab") as stream:
            stream.write(f"{key} {digest}\n".encode())
    except (OSError, RuntimeError):
        return  # no home or no room: the next stage reads the file again
