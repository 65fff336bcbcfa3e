"""One gate run at a time in an output directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssd_plugin.errors import GateError


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Make `out` and keep other gate runs out of it, by a lock on the directory itself (a file of ours would lie among the
    evidence) that ends with the process.

    Raises:
        GateError: another process holds it, or the directory cannot be made.
    """
    descriptor = _locked(out)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(out: Path) -> int:
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise GateError(f"{out}: cannot be used as an output directory ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise GateError(f"{out}: in use by another process; wait for it or give another --out") from None
        raise GateError(f"{out}: cannot be locked ({error.strerror}); give another --out") from error
    return descriptor
