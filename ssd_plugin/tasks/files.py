"""Rows of a data file, one at a time: .jsonl, .jsonl.gz, .json (a list of objects) and .parquet."""

import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.core.files import open_input, read_input
from ssd_plugin.core.jsonl import JsonObject, parse_line, read_jsonl
from ssd_plugin.errors import DataError, DependencyError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
_BATCH_ROWS = 256


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
        DataError: missing, unreadable, not rows of objects, or a column is missing (names the file and the line).
        DependencyError: a .parquet file, and pyarrow is not installed.
    """
    rows: Iterator[tuple[int, JsonObject]]
    if not path.is_file():
        raise DataError(f"{path}: {'is a directory; name a file in it' if path.is_dir() else 'no such file'}")
    if path.suffix == ".parquet":
        rows = enumerate(_parquet(path, columns), start=1)
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
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, parse_line(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not readable gzipped JSON lines ({error})") from error


def _json_list(path: Path) -> Iterator[tuple[int, JsonObject]]:
    try:
        rows = json.loads(read_input(path))
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


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[JsonObject]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError(f"{path}: reading .parquet needs pyarrow; pip install pyarrow") from error
    open_file: Any = parquet.ParquetFile
    try:
        with open_file(path) as file:
            require_columns(columns, file.schema_arrow.names, str(path))
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns) or None):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a readable parquet file ({error})") from error
