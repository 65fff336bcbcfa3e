"""Files that are whole or absent: atomic writes, and JSON lines read one at a time with errors that name the line."""

import errno
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ssd_plugin.core.files import bounded_lines, open_input, read_input, refuse_special
from ssd_plugin.errors import DataError, ResourceError

JsonObject = dict[str, Any]


def dumps(value: Any) -> str:
    """One canonical line: sorted keys, no spaces, ASCII; NaN and infinities are refused (ValueError).

    ASCII, because a model may emit half of a surrogate pair, which JSON can say and UTF-8 cannot.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def unique_names(pairs: Sequence[tuple[str, Any]]) -> JsonObject:
    """An object (`object_pairs_hook`) without a key that is there twice: readers differ in which one they take.

    Raises:
        ValueError: names the key.
    """
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {twice!r:.80} is there twice")
    return table


@contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Turn a full disk inside the block into one line about `path`; any other failure passes as it is.

    Raises:
        ResourceError: no space left.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"no space left while writing {path}: free some and run the same command again"
            ) from error
        raise


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under `path` only once it is complete and on disk.

    Raises:
        DataError: `path` is a link, folder, pipe or device.
        ResourceError: the disk is full; `path` is as it was before.
    """
    refuse_special(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with naming_a_full_disk(path):
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    with atomic_writer(path) as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document atomically, indented and with sorted keys so that diffs read well."""
    write_text(path, json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        DataError: missing, unreadable, not JSON, or a name is in an object twice.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file")
    try:
        return json.loads(read_input(path).decode("utf-8"), object_pairs_hook=unique_names)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise DataError(f"{path}: not a readable JSON file ({error})") from error


def write_jsonl(path: Path, rows: Iterable[JsonObject]) -> int:
    """Write rows as JSON lines atomically; returns how many."""
    count = 0
    with atomic_writer(path) as stream:
        for row in rows:
            stream.write(dumps(row) + "\n")
            count += 1
    return count


def read_jsonl(path: Path) -> Iterator[tuple[int, JsonObject]]:
    """Yield (line number from 1, object); blank lines are skipped, memory is one line.

    Raises:
        DataError: the file is missing, or a line is not a JSON object in UTF-8 (names the line).
    """
    return ((number, row) for number, _, row in locate_jsonl(path))


def locate_jsonl(path: Path) -> Iterator[tuple[int, int, JsonObject]]:
    """`read_jsonl` with the byte at which each line begins: (line number, byte, object).

    Raises:
        DataError: as `read_jsonl`.
    """
    return ((number, begin, parse_line(line, f"{path}:{number}")) for number, begin, line in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """`locate_jsonl` with the lines as they are, unread: for whoever needs to count them, or a few of them.

    Raises:
        DataError: the file is missing, or a line is longer than 256 MiB.
    """
    with open_input(path) as stream:
        end = 0
        for number, line in enumerate(bounded_lines(stream, path), start=1):
            begin, end = end, end + len(line)
            if line.strip():
                yield number, begin, line


def parse_line(line: bytes, where: str) -> JsonObject:
    """The object that a line holds.

    Raises:
        DataError: it is not a JSON object in UTF-8, or a name is in it twice; `where` (file:line) leads the message.
    """
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=unique_names)
    except (ValueError, RecursionError) as error:  # as in `read_json`
        raise DataError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        DataError: the file cannot be read.
    """
    with open_input(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()
