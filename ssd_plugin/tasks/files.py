"""Rows of a data file, one at a time: .jsonl, .jsonl.gz, .json (a list of objects) and .parquet."""

import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ssd_plugin.core.files import bounded_lines, open_input, read_input
from ssd_plugin.core.jsonl import JsonObject, parse_line, read_jsonl, unique_names
from ssd_plugin.errors import DataError
from ssd_plugin.tasks import parquet_rows
from ssd_plugin.tasks.unpacked import within_reason

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")


def require_columns(wanted: Sequence[str], present: Collection[str], where: str) -> None:
    """Refuse rows that lack a column that was asked for.

    Raises:
        DataError: names the missing column and those there are.
    """
    for column in wanted:
        if column not in present:
            raise DataError(f"{where}: has no column {column!r}; its columns are {', '.join(sorted(present))}")


def read_rows(path: Path, columns: Sequence[str] = ()) -> Iterator[tuple[int, JsonObject]]:
    """Yield (line or row number from 1, row). Memory is a few rows (a .json file: all of it); `columns` are required, and
    of a .parquet file nothing else is read.

    Raises:
        DataError: missing, unreadable, not rows of objects, a bomb (`unpacked.within_reason`), or a column is missing
            (names the file and the line).
        DependencyError: a .parquet file, and pyarrow is not installed.
    """
    rows: Iterator[tuple[int, JsonObject]]
    if not path.is_file():
        raise DataError(f"{path}: {'is a directory; name a file in it' if path.is_dir() else 'no such file'}")
    if path.suffix == ".parquet":
        rows = parquet_rows.rows(path, columns)
    elif path.suffix == ".gz":
        rows = _gzipped(path)
    elif path.suffix == ".json":
        rows = _json_list(path)
    else:
        rows = read_jsonl(path)
    for number, row in rows:
        require_columns(columns, row, f"{path}:{number}")
        yield number, row


def _gzipped(path: Path) -> Iterator[tuple[int, JsonObject]]:
    try:
        with open_input(path) as packed, gzip.open(packed) as stream:
            lines = bounded_lines(stream, path)
            packed_bytes = os.fstat(packed.fileno()).st_size
            for number, line in enumerate(within_reason(lines, path, packed_bytes), start=1):
                if line.strip():
                    yield number, parse_line(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not readable gzipped JSON lines ({error})") from error


def _json_list(path: Path) -> Iterator[tuple[int, JsonObject]]:
    try:
        rows = json.loads(read_input(path), object_pairs_hook=unique_names)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from error
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of objects")
    for number, row in enumerate(rows, start=1):
        yield number, _object(row, f"{path}:{number}")


def _object(row: object, where: str) -> JsonObject:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row
