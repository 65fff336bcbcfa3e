"""A data source's name to its tasks, one at a time: the bank, a file, a data set on the hub, a published benchmark."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ssd_plugin.config.schema import DataConfig
from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import ConfigError, DataError
from ssd_plugin.tasks import benchmarks
from ssd_plugin.tasks.files import SUFFIXES, read_rows
from ssd_plugin.tasks.hub import stream_rows
from ssd_plugin.tasks.schema import Task, task_from_json

BANK = Path(__file__).parent / "bank"
SPLITS = ("train", "dev", "heldout", "ruler-dev", "ruler-heldout")
FIELDS = ("prompt", "task_id", "domain", "difficulty", "reference", "starter_code")

# The paper's two sets: v6 by contest date (apple/ml-ssd, evaluation/benchmark.py), v5 all that lies before it.
LIVECODEBENCH = {"v5": "livecodebench-v5::2025-01-31", "v6": "livecodebench-v6:2025-02-01:2025-05-31"}


def load_tasks(data: DataConfig) -> Iterator[Task]:
    """Stream the tasks that `data` names, at least one.

    With `deduplicate`, a statement seen before (white space aside) is left out, and so is an empty one.

    Raises:
        ConfigError: `data` names no known source, or sets what its source does not have.
        DataError: the source is missing, empty or malformed, or lacks a mapped column (names those there are).
        HubUnreachableError: the hub did not answer (says how to give a file).
        DependencyError: a package that the source needs is not installed.
    """
    tasks = _open(data)
    if data.deduplicate:
        tasks = _distinct(tasks)
    empty = True
    for task in islice(tasks, data.limit or None):
        empty = False
        yield task
    if empty:
        raise DataError(f"{data.source}: holds no prompts; name another source")


def _open(data: DataConfig) -> Iterator[Task]:
    kind, _, name = data.source.partition(":")
    path = benchmarks.named_file(data.source) or Path(data.source).expanduser()
    if kind == "bank":
        _refuse(data, "revision", "config", "split", "columns", "where")
        return _bank(name)
    if kind == "hub":
        return _hub(data, name)
    if path.is_dir():
        _refuse(data, "revision")
        return _hub(data, str(path))
    if path.name.endswith(SUFFIXES):
        _refuse(data, "revision", "config", "split")
        return _file(data, path)
    _refuse(data, "revision", "config", "split", "columns", "where")
    return benchmarks.fetch(_benchmark(data.source))


def _refuse(data: DataConfig, *names: str) -> None:
    for name in names:
        if value := getattr(data, name):
            raise ConfigError(f"{name} = {value!r} does not apply to the source {data.source}; leave it out")


def _bank(split: str) -> Iterator[Task]:
    if split not in SPLITS:
        raise ConfigError(f"source = 'bank:{split}' is not allowed; allowed: bank:{', bank:'.join(SPLITS)}")
    path = BANK / f"{split}.jsonl"
    return (task_from_json(row, f"{path}:{number}") for number, row in read_rows(path))


def _benchmark(source: str) -> str:
    """The name as `benchmarks.fetch` takes it: `livecodebench:v6` stands for the release with the paper's dates."""
    kind, _, release = source.partition(":")
    name = LIVECODEBENCH.get(release, f"livecodebench-{release}") if kind == "livecodebench" else source
    if name.partition(":")[0] not in benchmarks.SOURCES:
        raise ConfigError(
            f"source = {source!r} is not allowed; allowed: bank:SPLIT, hub:ORG/NAME, a directory, a file "
            f"({', '.join(SUFFIXES)}), {', '.join(n for n in benchmarks.SOURCES if '-' not in n)}, livecodebench:v5 or v6"
        )
    return name


def _file(data: DataConfig, path: Path) -> Iterator[Task]:
    if not data.columns:
        _refuse(data, "where")
        return (task for _, task in benchmarks.stream_tasks(path))
    columns = _columns(data)
    rows = read_rows(path, _wanted(data, columns))
    return _mapped(data, rows, columns, path.name.removesuffix(path.suffix))


def _hub(data: DataConfig, name: str) -> Iterator[Task]:
    columns = _columns(data)
    wanted = _wanted(data, columns)
    rows = stream_rows(name, config=data.config, split=data.split, revision=data.revision, columns=wanted)
    parts = (name if data.source.startswith("hub:") else Path(name).name, data.config, data.split)
    return _mapped(data, rows, columns, "/".join(part for part in parts if part))


def _columns(data: DataConfig) -> dict[str, str]:
    """`prompt=question,task_id=id` as {task field: column}; without a mapping the columns have the fields' names."""
    pairs = [pair.strip().partition("=")[::2] for pair in (data.columns or "prompt=prompt").split(",")]
    columns = {field.strip(): column.strip() for field, column in pairs}
    if "prompt" not in columns or not set(columns) <= set(FIELDS) or not all(columns.values()):
        raise ConfigError(
            f"columns = {data.columns!r} is not allowed; allowed: FIELD=COLUMN pairs with commas between, "
            f"prompt among them (fields: {', '.join(FIELDS)})"
        )
    return columns


def _condition(data: DataConfig) -> tuple[str, str] | None:
    """`is_passed=true` as (column, value); None when every row is wanted."""
    column, equals, value = (part.strip() for part in data.where.partition("="))
    if data.where and not (column and equals and value):
        raise ConfigError(f"where = {data.where!r} is not allowed; allowed: COLUMN=VALUE")
    return (column, value) if data.where else None


def _wanted(data: DataConfig, columns: dict[str, str]) -> tuple[str, ...]:
    """The columns to read, each once."""
    condition = _condition(data)
    return tuple(dict.fromkeys([*columns.values(), *([condition[0]] if condition else [])]))


def _mapped(
    data: DataConfig, rows: Iterator[tuple[int, JsonObject]], columns: dict[str, str], name: str
) -> Iterator[Task]:
    """Tasks from rows of any shape; one without a mapped id is called after its row: NAME/NUMBER."""
    condition = _condition(data)
    for number, row in rows:
        if condition and str(row[condition[0]]).lower() != condition[1].lower():
            continue
        where = f"{data.source}, row {number}"
        values = {field: _cell_text(row[column], f"{where}: column {column!r}") for field, column in columns.items()}
        if not values["prompt"].strip():
            if data.deduplicate:
                continue
            raise DataError(f"{where}: column {columns['prompt']!r} is empty; deduplicate leaves such rows out")
        yield task_from_json({"task_id": f"{name}/{number}", **values}, where)


def _cell_text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    raise DataError(f"{where} holds {type(value).__name__}, text is needed; map another column")


def _distinct(tasks: Iterator[Task]) -> Iterator[Task]:
    """The first task of each statement."""
    seen: set[bytes] = set()
    for task in tasks:
        digest = hashlib.sha256(" ".join(task.prompt.split()).encode()).digest()
        if digest not in seen:
            seen.add(digest)
            yield task
