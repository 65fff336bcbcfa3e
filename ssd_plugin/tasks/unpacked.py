"""Bounds what a packed file unpacks to: a few kilobytes can hold terabytes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ssd_plugin.errors import DataError

_FREE = 256 << 20  # bytes that any file may unpack to
_RATIO = 200  # and this many times its own size: text packs to a tenth, copies of one text to a hundredth


def most_unpacked(packed: int) -> int:
    """To how many bytes so many may unpack."""
    return _FREE + _RATIO * packed


def within_reason(lines: Iterable[bytes], path: Path, packed: int) -> Iterator[bytes]:
    """The lines that `path`, of `packed` bytes, unpacks to.

    Raises:
        DataError: they are more than a file of that size can hold in earnest.
    """
    left = most_unpacked(packed)
    for line in lines:
        left -= len(line)
        if left < 0:
            raise DataError(f"{path}: unpacks to more than {_RATIO} times its size; give it unpacked if it is meant so")
        yield line
