"""The rows of a file in the making: kept as they finish, so that a kill at any byte loses at most what was in flight."""

import json
import os
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from ssd_plugin.errors import RunDirError
from ssd_plugin.jsonl import JsonObject, dumps, naming_a_full_disk

ABSENT = -1


class PartialFile:
    """Rows by number, on disk, in the order in which they were finished; memory holds eight bytes a row.

    A line is a CRC-32, the row's number and its JSON, the sum being that of the two; the first line is the signature. Opening
    a file again compares sums and parses nothing. A half-written last line is cut off.
    """

    def __init__(self, out: Path, signature: str) -> None:
        """`out` is the file that the rows become; `signature` names all that they depend on: others' are thrown away."""
        self.path = out.with_name(out.name + ".partial")
        self._offsets = array("q")
        self._count = 0
        self._header = (dumps({"signature": signature}) + "\n").encode()

    def __enter__(self) -> Self:
        """Open the file, keeping the whole rows that are there already.

        Raises:
            RunDirError: a row in the middle is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.path.open("a+b")
        self._stream.seek(0)
        if self._stream.read(len(self._header)) != self._header:
            self._stream.truncate(0)
            self._stream.write(self._header)
        self._index_rows()
        return self

    def __len__(self) -> int:
        """How many rows are there."""
        return self._count

    def __contains__(self, number: object) -> bool:
        """Whether the row of this number is there."""
        return isinstance(number, int) and number < len(self._offsets) and self._offsets[number] != ABSENT

    def _index_rows(self) -> None:
        offset = self._stream.seek(len(self._header))
        for line in self._stream:
            if not line.endswith(b"\n"):
                self._stream.truncate(offset)
                break
            checksum, _, row = line.partition(b" ")
            if checksum != b"%08x" % zlib.crc32(row):
                raise self._corrupt(offset)
            self._place(int(row.split(b" ", 1)[0]), offset)
            offset += len(line)

    def _place(self, number: int, offset: int) -> None:
        if number >= len(self._offsets):
            self._offsets.extend([ABSENT] * (number + 1 - len(self._offsets)))
        self._count += self._offsets[number] == ABSENT
        self._offsets[number] = offset

    def append(self, number: int, row: JsonObject) -> None:
        """Add a finished row; it is with the operating system when this returns.

        Raises:
            ResourceError: the disk is full; the rows before it are kept.
        """
        offset = self._stream.seek(0, os.SEEK_END)
        line = f"{number} {dumps(row)}\n".encode()
        with naming_a_full_disk(self.path):
            self._stream.write(b"%08x %s" % (zlib.crc32(line), line))
            self._stream.flush()
        self._place(number, offset)

    def rows(self, count: int) -> Iterator[JsonObject]:
        """The rows 0 to `count` - 1, all of which are there, in the order of their numbers.

        Raises:
            RunDirError: a row is not the one that was written there.
        """
        for number in range(count):
            offset = self._stream.seek(self._offsets[number])
            checksum, _, row = self._stream.readline().partition(b" ")
            found, _, content = row.partition(b" ")
            if checksum != b"%08x" % zlib.crc32(row) or found != b"%d" % number:
                raise self._corrupt(offset)
            yield json.loads(content)

    def _corrupt(self, offset: int) -> RunDirError:
        return RunDirError(f"{self.path}: corrupt at byte {offset}; delete it to redo this part")

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays until `remove`."""
        self._stream.close()

    def remove(self) -> None:
        """The rows have reached their place."""
        self.path.unlink()
