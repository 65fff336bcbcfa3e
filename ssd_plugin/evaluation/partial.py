"""The unfinished result file of a grading run: rows in the order in which they were done, so a killed run continues."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from ssd_plugin.errors import DataError
from ssd_plugin.jsonl import JsonObject, dumps, naming_a_full_disk


class Partial:
    """Rows by sample number, on disk; memory holds one file offset a row.

    A file made from other inputs (`key`) is started anew; a half-written last line is cut off.
    """

    def __init__(self, out: Path, key: JsonObject) -> None:
        self.path = out.with_name(f".{out.name}.partial")
        self._offsets: dict[int, int] = {}
        out.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.path.open("a+b")
        if not self._continues(key):
            self._offsets.clear()
            self._stream.truncate(0)
            self._write(self._head(key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if isinstance(error, DataError):
            self.path.unlink(missing_ok=True)

    def __contains__(self, number: int) -> bool:
        return number in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def _continues(self, key: JsonObject) -> bool:
        self._stream.seek(0)
        offset, first = 0, True
        for raw in self._stream:
            number = _number(raw)
            if number is None or (first and raw != self._head(key)):
                break
            if not first:
                self._offsets[number] = offset
            first = False
            offset += len(raw)
        self._stream.truncate(offset)
        self._stream.seek(0, os.SEEK_END)
        return not first

    @staticmethod
    def _head(key: JsonObject) -> bytes:
        return f"-1 {dumps(key)}\n".encode()

    def _write(self, line: bytes) -> int:
        offset = self._stream.seek(0, os.SEEK_END)
        with naming_a_full_disk(self.path):
            self._stream.write(line)
            self._stream.flush()
        return offset

    def add(self, number: int, row: JsonObject) -> None:
        """Keep the row of sample `number`."""
        self._offsets[number] = self._write(f"{number} {dumps(row)}\n".encode())

    def lines(self) -> Iterator[str]:
        """All rows by sample number, as they are to stand in the result file."""
        for number in sorted(self._offsets):
            self._stream.seek(self._offsets[number])
            yield self._stream.readline().partition(b" ")[2].decode()

    def remove(self) -> None:
        """Delete the file: the result file stands."""
        self.path.unlink(missing_ok=True)


def _number(raw: bytes) -> int | None:
    """The number that leads a whole line `NUMBER JSON`; None for a line that was cut off or is something else."""
    number, _, text = raw.partition(b" ")
    try:
        json.loads(text)
        return int(number) if raw.endswith(b"\n") else None
    except ValueError:
        return None
