"""A running grader's directories below the temporary directory. Those of graders that were killed are removed.

A directory holds a lock file, which its owner keeps locked for as long as it lives; the kernel lets go of it however the
owner ends. So a directory whose lock can be had is nobody's.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX, _LOCK = "ssd-sandbox-", "lock"


class Workplace:
    """A directory of this process's own, with `path` for others to walk through; `remove` it when done."""

    def __init__(self) -> None:
        """Make the directory, after removing those that killed graders of this user left.

        Raises:
            OSError: the temporary directory cannot be written.
        """
        sweep()
        # Under another name until it is locked, so that nobody takes it for an abandoned one.
        making = Path(tempfile.mkdtemp(prefix=".ssd-making-"))
        self._lock = os.open(making / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = making.with_name(_PREFIX + making.name.removeprefix(".ssd-making-"))
        making.rename(self.path)
        self.path.chmod(0o711)

    def remove(self) -> None:
        """Delete the directory with all that is in it; again does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sweep() -> None:
    """Remove this user's directories whose owner is dead."""
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
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
