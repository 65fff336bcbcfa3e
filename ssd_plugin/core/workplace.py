"""A running process's directories below the temporary directory. Those of processes that were killed are removed.

A directory holds a lock file, which its owner keeps locked for as long as it (or a child that it forked) lives; the kernel lets
go of it however the owner ends. So a directory whose lock can be had is nobody's.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

from ssd_plugin.core.locks import LOCK

SANDBOX, GATES, CALIBRATION = "ssd-sandbox-", "ssd-gates-", "ssd-calibrate-"
_MAKING = ".ssd-making-"


class Workplace:
    """A directory of this process's own, with `path` for others to walk through; `remove` it when done. A context manager."""

    def __init__(self, prefix: str) -> None:
        """Make the directory, after removing those of this prefix that killed processes of this user left.

        Raises:
            OSError: the temporary directory cannot be written.
        """
        sweep(prefix)
        # Under another name until it is locked, so that nobody takes it for an abandoned one.
        making = Path(tempfile.mkdtemp(prefix=_MAKING))
        self._lock = os.open(making / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = making.with_name(prefix + making.name.removeprefix(_MAKING))
        making.rename(self.path)
        if prefix == SANDBOX:
            self.path.chmod(0o711)  # its programs may be another user

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Delete the directory with all that is in it; again does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sweep(prefix: str) -> None:
    """Remove this user's directories whose owner is dead; no link is followed."""
    for path in Path(tempfile.gettempdir()).glob(prefix + "*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # it vanished meanwhile, or was never one of ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)
