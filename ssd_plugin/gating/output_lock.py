"""One gate run at a time in an output directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssd_plugin.core.locks import LOCK, lock
from ssd_plugin.core.output_tree import refuse_planted
from ssd_plugin.errors import GateError


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Make `out` and keep other gate runs out of it, by a lock that ends with the process. It is on a file, since network file
    systems lock nothing that is not open for writing.

    Raises:
        GateError: another process holds it, or the directory cannot be made.
        DataError: as `output_tree.refuse_planted`.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = lock(out / LOCK, os.O_RDWR | os.O_CREAT)
    except BlockingIOError:
        raise GateError(f"{out}: in use by another process; wait for it or give another --out") from None
    except OSError as error:
        raise GateError(f"{out}: cannot be used as an output directory ({error.strerror})") from error
    try:
        refuse_planted(out)
        yield
    finally:
        os.close(descriptor)
