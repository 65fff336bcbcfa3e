"""The plain form, for every harness that has no reader here: a row per item (or sample of it), as JSON lines or CSV.

Columns: `item`, `harness`, `harness_version`, `task`, `decoding`; if wanted `task_version`, `prompt_sha256` and `sample`. Every
other one is a metric where it is a number, and may say which items belong together.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ssd_plugin.core.files import open_input, read_input
from ssd_plugin.core.jsonl import JsonObject, read_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.harnesses.results import DECODING, TASK_VERSION, VERSION, Grades, TaskResults, stated

NAME = "the plain form"
_NEEDED = ("item", "harness", "harness_version", "task", "decoding")
_OPTIONAL = ("task_version", "prompt_sha256", "sample")
KEYS = frozenset((*_NEEDED, *_OPTIONAL))
_SAME = ("harness", "harness_version", "task_version", "decoding")  # in all rows of a task


def reads(path: Path) -> bool:
    """Whether the first row has the plain form's columns, or some of them and those of no other harness."""
    if path.suffix == ".csv":
        with open_input(path) as stream:
            return not {b"item", b"harness"}.isdisjoint(stream.readline().strip().split(b","))
    return path.suffix == ".jsonl" and any({"item", "harness"} & row.keys() for _, row in _first(path))


def _first(path: Path) -> Iterator[tuple[int, JsonObject]]:
    for number, row in read_jsonl(path):
        yield number, row
        return


def read(path: Path) -> list[TaskResults]:
    """Each task in the file.

    Raises:
        DataError: no rows, a column is missing or empty (names the line), or rows of a task differ in what was run.
    """
    tasks: dict[str, tuple[JsonObject, Grades]] = {}
    for number, row in _rows(path):
        where = f"{path}:{number}"
        for name in _NEEDED:
            if row.get(name) in (None, ""):
                raise DataError(f"{where}: has no {name!r}; the plain form needs {', '.join(_NEEDED)}, and a metric")
        first, grades = tasks.setdefault(str(row["task"]), (row, Grades(where=str(path))))
        for name in _SAME:
            if row.get(name) != first.get(name):
                raise DataError(
                    f"{where}: {name} is {row.get(name)!r:.80}, and {first.get(name)!r:.80} in the first row"
                )
        rest = {name: value for name, value in row.items() if name not in (*_NEEDED, *_OPTIONAL)}
        grades.add(
            row["item"], row.get("sample", ""), scores=rest, prompt=row.get("prompt_sha256") or None, columns=rest
        )
    if not tasks:
        raise DataError(f"{path}: holds no graded items")
    return [_task(name, str(path), first, grades) for name, (first, grades) in tasks.items()]


def _task(name: str, where: str, first: JsonObject, grades: Grades) -> TaskResults:
    return TaskResults(
        harness=str(first["harness"]),
        task=name,
        where=where,
        conditions={
            VERSION: str(first["harness_version"]),
            TASK_VERSION: stated(first.get("task_version")),
            DECODING: stated(first["decoding"]),
        },
        items=grades.items(),
    )


def _rows(path: Path) -> Iterator[tuple[int, JsonObject]]:
    if path.suffix != ".csv":
        yield from read_jsonl(path)
        return
    try:
        reader = csv.DictReader(io.StringIO(read_input(path).decode("utf-8-sig"), newline=""), strict=True)
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{path}:{reader.line_num}: has not as many fields as the first line has names")
            yield reader.line_num, {name: _cell(name, text) for name, text in row.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not readable CSV in UTF-8 ({error})") from error


def _cell(name: str, text: str) -> str | float:
    if name in (*_NEEDED, *_OPTIONAL):
        return text
    try:
        return float(text)
    except ValueError:
        return text
