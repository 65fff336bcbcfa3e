"""The unfinished result file of a grading run: rows in the order in which they were done, so a killed run continues."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ssd_plugin.errors import DataError
from ssd_plugin.jsonl import JsonObject, dumps


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
            self._write({"key": key})

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
            row = _parse(raw)
            if row is None or (first and row.get("key") != key):
                break
            if not first:
                self._offsets[row["i"]] = offset
            first = False
            offset += len(raw)
        self._stream.truncate(offset)
        self._stream.seek(0, os.SEEK_END)
        return not first

    def _write(self, row: JsonObject) -> int:
        offset = self._stream.seek(0, os.SEEK_END)
        self._stream.write(dumps(row).encode("utf-8", "surrogatepass") + b"\n")
        self._stream.flush()
        return offset

    def add(self, number: int, row: JsonObject) -> None:
        """Keep the row of sample `number`."""
        self._offsets[number] = self._write({"i": number, "row": row})

    def rows(self) -> Iterator[JsonObject]:
        """All rows by sample number."""
        for number in sorted(self._offsets):
            self._stream.seek(self._offsets[number])
            yield json.loads(self._stream.readline())["row"]

    def remove(self) -> None:
        """Delete the file: the result file stands."""
        self.path.unlink(missing_ok=True)


def _parse(raw: bytes) -> dict[str, Any] | None:
    """The row of a whole line, else None."""
    if not raw.endswith(b"\n"):
        return None
    try:
        row = json.loads(raw)
    except ValueError:
        return None
    return row if isinstance(row, dict) and ("key" in row or isinstance(row.get("i"), int)) else None
