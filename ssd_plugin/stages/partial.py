"""A rows file in the making: appended as rows finish, cut to whole rows after a kill, put in order at the end."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from ssd_plugin.errors import RunDirError
from ssd_plugin.jsonl import JsonObject, dumps, naming_a_full_disk


class PartialFile:
    """Rows in the order in which they were finished, beside the file they will become; survives a kill at any byte."""

    def __init__(self, out: Path, signature: str) -> None:
        """`signature` names all that the rows depend on: rows of another one are thrown away."""
        self.path = out.with_name(out.name + ".partial")
        self.offsets: dict[str, int] = {}  # memory grows by an id a row, not by the row
        self._header = (dumps({"signature": signature}) + "\n").encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        """Open the file, keeping the whole rows that are there already."""
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
                self.offsets[json.loads(line)["sample_id"]] = offset
            except (ValueError, KeyError, TypeError) as error:
                raise RunDirError(f"{self.path}: corrupt at byte {offset}; delete it to redo this part") from error
            offset += len(line)

    def append(self, row: JsonObject) -> None:
        """Add a finished row; it is with the operating system when this returns."""
        offset = self._stream.seek(0, os.SEEK_END)
        with naming_a_full_disk(self.path):
            self._stream.write((dumps(row) + "\n").encode())
            self._stream.flush()
        self.offsets[row["sample_id"]] = offset

    def rows(self, sample_ids: Iterable[str]) -> Iterator[JsonObject]:
        """The rows in the order of `sample_ids`."""
        for sample_id in sample_ids:
            self._stream.seek(self.offsets[sample_id])
            yield json.loads(self._stream.readline())

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays until `remove`."""
        self._stream.close()

    def remove(self) -> None:
        """The rows have reached their place."""
        self.path.unlink()
