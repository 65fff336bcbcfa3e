"""One process at a time: a lock that the kernel lets go of when its holders have ended, however they ended."""

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

LOCK = ".lock"  # in the directory that is held


def lock(path: Path, flags: int, patience: float = 0.0) -> int:
    """Open `path` and hold it until the descriptor is closed, here and in every child that inherited it.

    `flags`: how to open it, as for `os.open`. `patience`: for how many seconds to try.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be opened or locked, or is a link (also a hard one), pipe or device.
    """
    deadline = time.monotonic() + patience
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "its lock is a link, pipe or device; delete it", str(path))
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError) and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            os.close(descriptor)
            raise
        return descriptor
