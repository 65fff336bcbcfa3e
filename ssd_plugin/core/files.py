"""Opens what a user names: regular files only, so that no pipe hangs a command, no endless device or file fills the memory,
and no output replaces a device or follows a planted link."""

import os
import stat
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import IO

from ssd_plugin.errors import DataError

MOST_BYTES = 1 << 30  # of a document that is read whole
MOST_TOML = 1 << 22
MOST_LINE = 1 << 28  # the longest line of a published benchmark's file has some 30 MB
_EMPTY = 1 << 20  # lines
_MADE_UP = 1 << 20  # bytes of a file whose size is not known
_SMALL = 1 << 27  # bytes that are quick to read, whatever they are
_HOLES = 16  # a file this many times as large as what is stored of it is large in name only


def open_input(path: Path) -> BufferedReader:
    """Open a regular file (or a link to one) for reading; a pipe or device is never waited for.

    Raises:
        DataError: it is missing, may not be read, is no regular file, or is large in name only.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{path}: is not a regular file; name a file, not a folder, pipe or device")
    if is_mostly_holes(descriptor):
        os.close(descriptor)
        raise DataError(f"{path}: is large in name only, nearly all of it holes; name a file that is whole")
    return os.fdopen(descriptor, "rb")


def is_mostly_holes(descriptor: int) -> bool:
    """Whether an open file is larger than 128 MiB and less than a sixteenth of it is stored: reading it would take without end
    what making it took nothing. File systems that know no holes call everything stored."""
    size = os.fstat(descriptor).st_size
    stored = position = 0
    if size <= _SMALL:
        return False
    try:
        while stored * _HOLES < size:
            begin = os.lseek(descriptor, position, os.SEEK_DATA)
            position = os.lseek(descriptor, begin, os.SEEK_HOLE)
            stored += position - begin
    except OSError:  # no further data
        return True
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return False


def bounded_lines(stream: IO[bytes] | BufferedIOBase, path: Path) -> Iterator[bytes]:
    """The lines of `path`, opened as `stream`; memory is one line.

    Raises:
        DataError: one is longer than 256 MiB (names it), or there are a million empty ones.
    """
    number = empty = 0
    while line := stream.readline(MOST_LINE + 1):
        number += 1
        empty += line.isspace()
        if empty > _EMPTY:
            raise DataError(f"{path}:{number}: is the {empty}th empty line; remove them")
        if len(line) > MOST_LINE:
            raise DataError(f"{path}:{number}: the line is longer than {MOST_LINE >> 20} MiB; no sample or task is")
        yield line


def read_input(path: Path, most: int = MOST_BYTES) -> bytes:
    """All bytes of a regular file.

    Raises:
        DataError: as `open_input`, or it holds more than `most` bytes.
    """
    with open_input(path) as stream:
        size = os.fstat(stream.fileno()).st_size  # 0 where the kernel makes the content up
        content = b"" if size > most else stream.read(max(size, _MADE_UP) + 1) or b""
    if max(size, len(content)) > most:
        raise DataError(f"{path}: is larger than {most} bytes; no such file is that large")
    return content


def refuse_special(path: Path) -> None:
    """Refuse an output that would replace a link, pipe, device or folder; one that is not there yet is fine.

    Raises:
        DataError: `path` is there and is no regular file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: is a link, folder, pipe or device and is not written over; name a plain file")
