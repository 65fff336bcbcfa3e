"""Opens what a user names: regular files only, so that no pipe hangs a command, no endless device fills the memory, and no
output replaces a device or follows a planted link."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from ssd_plugin.errors import DataError

MOST_BYTES = 1 << 30  # of a document that is read whole
MOST_TOML = 1 << 22


def open_input(path: Path) -> BufferedReader:
    """Open a regular file (or a link to one) for reading; a pipe or device is never waited for.

    Raises:
        DataError: it is missing, may not be read, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{path}: is not a regular file; name a file, not a folder, pipe or device")
    return os.fdopen(descriptor, "rb")


def read_input(path: Path, most: int = MOST_BYTES) -> bytes:
    """All bytes of a regular file.

    Raises:
        DataError: as `open_input`, or it holds more than `most` bytes.
    """
    with open_input(path) as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise DataError(f"{path}: is larger than {most} bytes; no such file is that large")
        return stream.read(most)


def refuse_special(path: Path) -> None:
    """Refuse an output that would replace a link, pipe, device or folder; one that is not there yet is fine.

    Raises:
        DataError: `path` is there and is no regular file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: is a link, folder, pipe or device and is not written over; name a plain file")
