"""The rows of a file in the making: kept as they finish, so that a kill at any byte loses at most what was in flight."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, Self, TypeVar

from ssd_plugin.errors import RunDirError
from ssd_plugin.jsonl import JsonObject, dumps, naming_a_full_disk

Key = TypeVar("Key", str, int)


class PartialFile(Generic[Key]):
    """Rows by key, on disk, in the order in which they were finished; memory holds a file offset a row.

    A line is `[key, row]`; the first line is the signature. A half-written last line is cut off.
    """

    def __init__(self, out: Path, signature: str) -> None:
        """`out` is the file that the rows become; `signature` names all that they depend on: others' are thrown away."""
        self.path = out.with_name(out.name + ".partial")
        self.offsets: dict[Key, int] = {}
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

    def _index_rows(self) -> None:
        self._stream.seek(len(self._header))
        offset = len(self._header)
        for line in self._stream:
            if not line.endswith(b"\n"):
                self._stream.truncate(offset)
                break
            try:
                key, _ = json.loads(line)
                self.offsets[key] = offset
            except (ValueError, TypeError) as error:
                raise RunDirError(f"{self.path}: corrupt at byte {offset}; delete it to redo this part") from error
            offset += len(line)

    def append(self, key: Key, row: JsonObject) -> None:
        """Add a finished row; it is with the operating system when this returns.

        Raises:
            ResourceError: the disk is full; the rows before it are kept.
        """
        offset = self._stream.seek(0, os.SEEK_END)
        with naming_a_full_disk(self.path):
            self._stream.write(f"[{json.dumps(key)},{dumps(row)}]\n".encode())
            self._stream.flush()
        self.offsets[key] = offset

    def rows(self, keys: Iterable[Key]) -> Iterator[JsonObject]:
        """The rows in the order of `keys`."""
        for key in keys:
            self._stream.seek(self.offsets[key])
            yield json.loads(self._stream.readline())[1]

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays until `remove`."""
        self._stream.close()

    def remove(self) -> None:
        """The rows have reached their place."""
        self.path.unlink()
