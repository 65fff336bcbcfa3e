"""Rows of a parquet file, unpacked in a process of its own: what a small file unpacks to is known only once it is unpacked.

python -P -m ssd_plugin.tasks.parquet_rows FILE [COLUMN ...]     one JSON object a line; the process that `rows` starts
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

from ssd_plugin.core.files import bounded_lines, open_input
from ssd_plugin.core.jsonl import JsonObject, parse_line
from ssd_plugin.core.parent_process import die_with
from ssd_plugin.errors import DataError, DependencyError
from ssd_plugin.tasks.unpacked import within_reason

_MEMORY = 2 << 30  # bytes that unpacking may take
_BATCH_ROWS = 16


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, JsonObject]]:
    """Yield (row number from 1, row); of other columns than `columns` nothing is read (empty: all). Dates and decimals come as
    text.

    Raises:
        DataError: it cannot be read, lacks a column, or unpacks to more than a file of its size can hold.
        DependencyError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise DependencyError(f"{path}: reading .parquet needs pyarrow; pip install pyarrow")
    with open_input(path) as stream:
        packed = os.fstat(stream.fileno()).st_size
    command = [
        sys.executable,
        "-P",
        "-m",
        "ssd_plugin.tasks.parquet_rows",
        str(os.getpid()),
        str(path.resolve()),
        *columns,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:  # noqa: S603 - this module
        out, errors = cast("IO[bytes]", reader.stdout), cast("IO[bytes]", reader.stderr)  # pipes, as asked for
        try:
            lines = within_reason(bounded_lines(out, path), path, packed)
            for number, line in enumerate(lines, start=1):
                yield number, parse_line(line, f"{path}:{number}")
            said = errors.read(1 << 16).decode("utf-8", "replace").strip()
            if reader.wait() != 0:
                why = said.splitlines()[-1][:300] if said else f"the reader died, {reader.returncode}"
                raise DataError(f"{path}: is not a readable parquet file ({why})")
        finally:
            reader.kill()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _write(path: Path, columns: Sequence[str]) -> None:
    from pyarrow import parquet

    open_file: Any = parquet.ParquetFile
    with open_file(path) as file:
        names = file.schema_arrow.names
        if missing := [column for column in columns if column not in names]:
            raise ValueError(f"has no column {missing[0]!r}; its columns are {', '.join(sorted(names))}")
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns) or None, use_threads=False):
            for row in batch.to_pylist():
                sys.stdout.write(json.dumps(row, default=_text) + "\n")


def main() -> None:
    """Write the rows; status 1 and one line on stderr where that cannot be."""
    parent, path, *columns = sys.argv[1:]
    die_with(int(parent))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    try:
        _write(Path(path), columns)
    except MemoryError:
        sys.exit(f"needs more than {_MEMORY >> 30} GiB to be unpacked")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        sys.exit(" ".join(str(error).split())[:300])


if __name__ == "__main__":
    main()
