"""The rows of a file in the making: kept as they finish, so that a kill at any byte loses at most what was in flight."""

import hashlib
import hmac
import json
import os
import stat
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from ssd_plugin.core.jsonl import JsonObject, dumps, naming_a_full_disk
from ssd_plugin.errors import RunDirError

ABSENT = -1
_DIGITS = 18  # of a row's number, which fits eight bytes


class PartialFile:
    """Rows by number, on disk, in the order in which they were finished; memory holds eight bytes a row.

    A line is an HMAC-SHA-256, the row's number and its JSON; the first line is the signature with its own. Opening a file again
    compares them and parses nothing. A half-written last line is cut off.
    """

    def __init__(self, out: Path, signature: str, total: int, key: bytes = b"") -> None:
        """`out` is the file that the `total` rows become; `signature` names all that they depend on. Only rows written with this
        `key`, for this file and signature, are kept: others' are thrown away. Without a key the codes find damage, no forgery."""
        self.path = out.with_name(out.name + ".partial")
        self._offsets = array("q")
        self._count = 0
        self._total = total
        self._key = hmac.digest(key, dumps([signature, out.name]).encode(), hashlib.sha256)
        self._header = b"%s %s\n" % (self._code(b"header"), dumps({"signature": signature}).encode())

    def holds_others(self) -> bool:
        """Whether an unfinished file of another signature or key lies there, which opening this one would throw away."""
        kept = self._kept()
        if kept is not None:
            kept.close()
        return kept is None and os.path.lexists(self.path)

    def __enter__(self) -> Self:
        """Open the file, keeping the whole rows that are there already.

        Raises:
            RunDirError: a row in the middle is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._kept() or self._begun()
        self._index_rows()
        return self

    def _code(self, line: bytes) -> bytes:
        return hmac.digest(self._key, line, hashlib.sha256).hex().encode()

    def _kept(self) -> IO[bytes] | None:
        """The file of an earlier run with this key and signature. A link, also a hard one, is never written through."""
        with suppress(OSError):
            flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path, flags)
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                stream = os.fdopen(descriptor, "a+b")
                stream.seek(0)
                if hmac.compare_digest(stream.read(len(self._header)), self._header):
                    return stream
                stream.close()
            else:
                os.close(descriptor)
        return None

    def _begun(self) -> IO[bytes]:
        try:
            self.path.unlink(missing_ok=True)
            stream = os.fdopen(os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666), "a+b")
        except OSError as error:
            raise RunDirError(f"{self.path}: cannot be written ({error.strerror}); delete it") from error
        stream.write(self._header)
        return stream

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
            code, _, row = line.partition(b" ")
            number = row.split(b" ", 1)[0]
            if not hmac.compare_digest(code, self._code(row)) or not number.isdigit() or len(number) > _DIGITS:
                raise self._corrupt(offset)
            if int(number) >= self._total:
                raise self._corrupt(offset)
            self._place(int(number), offset)
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
            self._stream.write(b"%s %s" % (self._code(line), line))
            self._stream.flush()
        self._place(number, offset)

    def rows(self, count: int) -> Iterator[JsonObject]:
        """The rows 0 to `count` - 1, all of which are there, in the order of their numbers.

        Raises:
            RunDirError: a row is not the one that was written there.
        """
        for number in range(count):
            offset = self._stream.seek(self._offsets[number])
            code, _, row = self._stream.readline().partition(b" ")
            found, _, content = row.partition(b" ")
            if not hmac.compare_digest(code, self._code(row)) or found != b"%d" % number:
                raise self._corrupt(offset)
            yield self._parsed(content, offset)

    def _parsed(self, content: bytes, offset: int) -> JsonObject:
        try:
            row = json.loads(content)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise self._corrupt(offset)
        return row

    def _corrupt(self, offset: int) -> RunDirError:
        return RunDirError(f"{self.path}: corrupt at byte {offset}; delete it to redo this part")

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays until `remove`."""
        self._stream.close()

    def remove(self) -> None:
        """The rows have reached their place."""
        self.path.unlink()
