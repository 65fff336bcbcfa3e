"""Data sources: the right tasks arrive in order, and a wrong source is named with what there is instead."""

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ssd_plugin.config.schema import DataConfig
from ssd_plugin.errors import ConfigError, DataError, SsdError
from ssd_plugin.tasks import benchmarks, files, sources
from ssd_plugin.tasks.schema import FunctionCheck, Task, read_tasks
from ssd_plugin.tasks.sources import load_tasks

pa: Any = pyarrow  # without annotations of its own

ROWS: list[dict[str, Any]] = [
    {"id": 7, "question": "Add  two\nnumbers.", "code": "a"},
    {"id": 8, "question": "Subtract.", "code": None},
    {"id": 9, "question": " Add two numbers. ", "code": "c"},
    {"id": 10, "question": "  ", "code": "d"},
    {"id": 11, "question": "Divide.", "code": "e"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text if path.suffix == ".jsonl" else json.dumps(rows))
    return path


def prompts(**data: Any) -> list[str]:
    return [task.prompt for task in load_tasks(DataConfig(**data))]


@pytest.mark.parametrize("split", sources.SPLITS)
def test_the_bank_streams_its_file(split: str) -> None:
    path = sources.BANK / f"{split}.jsonl"
    tasks = list(load_tasks(DataConfig(source=f"bank:{split}")))
    assert tasks == read_tasks(path)
    assert all(task.task_id.startswith(f"{split}/") and isinstance(task.check, FunctionCheck) for task in tasks)
    assert list(load_tasks(DataConfig(source=f"bank:{split}", limit=3))) == tasks[:3]


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_a_mapped_file_of_every_format(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"own{suffix}", ROWS[:2])
    tasks = list(load_tasks(DataConfig(source=str(path), columns="prompt=question, task_id=id, reference=code")))
    assert tasks == [
        Task(task_id="7", prompt="Add  two\nnumbers.", reference="a"),
        Task(task_id="8", prompt="Subtract.", reference=""),
    ]


def test_rows_without_an_id_are_called_after_file_and_row(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    tasks = list(load_tasks(DataConfig(source=str(path), columns="prompt=prompt")))
    assert [task.task_id for task in tasks] == ["own/1", "own/2"]


def test_deduplication_keeps_the_first_of_each_statement_in_order(tmp_path: Path) -> None:
    path = str(write(tmp_path / "own.parquet", ROWS))
    columns = "prompt=question"
    expected = ["Add  two\nnumbers.", "Subtract.", "Divide."]
    assert prompts(source=path, columns=columns, deduplicate=True) == expected
    assert prompts(source=path, columns=columns, deduplicate=True, limit=3) == expected, "the limit counts what is kept"


def test_a_task_file_needs_no_mapping(tmp_path: Path) -> None:
    rows = [task.to_json() for task in load_tasks(DataConfig(source="bank:dev", limit=4))]
    assert list(load_tasks(DataConfig(source=str(write(tmp_path / "t.jsonl", rows))))) == list(
        load_tasks(DataConfig(source="bank:dev", limit=4))
    )


def test_a_file_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", ROWS[:2])
    with path.open("a") as stream:
        stream.write("not json\n")
    assert len(prompts(source=str(path), columns="prompt=question", limit=2)) == 2
    with pytest.raises(DataError, match=r"own\.jsonl:3: not valid JSON"):
        prompts(source=str(path), columns="prompt=question")


def test_of_a_parquet_file_only_the_mapped_columns_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "own.parquet", ROWS)
    number, row = next(islice(files.read_rows(path, ("question",)), 1))
    assert (number, row) == (1, {"question": "Add  two\nnumbers."})


@pytest.mark.parametrize(
    ("source", "fetched"),
    [
        ("humaneval", "humaneval"),
        ("mbpp+", "mbpp+"),
        ("livecodebench:v6", "livecodebench-v6:2025-02-01:2025-05-31"),
        ("livecodebench:v5", "livecodebench-v5::2025-01-31"),
        ("livecodebench:v6:2025-03-01:", "livecodebench-v6:2025-03-01:"),
        ("livecodebench-v5:2024-08-01:2025-01-31", "livecodebench-v5:2024-08-01:2025-01-31"),
    ],
)
def test_benchmarks_are_fetched_by_name(monkeypatch: pytest.MonkeyPatch, source: str, fetched: str) -> None:
    asked: list[str] = []

    def fetch(name: str) -> list[Task]:
        asked.append(name)
        return [Task(task_id="1", prompt="p")]

    monkeypatch.setattr(benchmarks, "fetch", fetch)
    assert prompts(source=source) == ["p"]
    assert asked == [fetched]


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ({"source": "bank:test"}, ConfigError, "'bank:test' is not allowed; allowed: bank:train, bank:dev, bank:held"),
        (
            {"source": "mbppp"},
            ConfigError,
            "'mbppp' is not allowed; .*hub:ORG/NAME, .*humaneval.*, mbpp.*livecodebench",
        ),
        ({"source": "livecodebench:v9"}, ConfigError, "livecodebench:v9"),
        (
            {"source": "bank:dev", "columns": "prompt=q"},
            ConfigError,
            "columns = 'prompt=q' does not apply to .*bank:dev",
        ),
        ({"source": "humaneval", "revision": "abc"}, ConfigError, "revision = 'abc' does not apply"),
        ({"source": "missing.jsonl"}, DataError, "missing.jsonl: .*(no such file|cannot be read)"),
        ({"source": "missing.parquet", "columns": "prompt=q"}, DataError, "missing.parquet: no such file"),
        (
            {"source": "missing.jsonl", "columns": "task_id=id"},
            ConfigError,
            "columns = 'task_id=id' .*prompt among them",
        ),
        ({"source": "missing.jsonl", "columns": "prompt=q,text=t"}, ConfigError, "fields: prompt, task_id"),
        ({"source": "missing.jsonl", "columns": "prompt="}, ConfigError, "FIELD=COLUMN"),
    ],
)
def test_a_wrong_source_is_named_in_one_line(data: dict[str, Any], kind: type[SsdError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        prompts(**data)
    assert "\n" not in str(caught.value)


@pytest.fixture(params=[".jsonl", ".parquet"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(write(tmp_path / f"own{request.param}", [{**row, "tags": ["x"]} for row in ROWS]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("prompt=text", "has no column 'text'; its columns are code, id, question, tags"),
        ("prompt=question,difficulty=level", "has no column 'level'"),
        ("prompt=tags", "row 1: column 'tags' holds list, text is needed"),
        ("prompt=question", "row 4: column 'question' is empty; deduplicate leaves such rows out"),
    ],
)
def test_a_wrong_column_is_named_with_those_there_are(own: str, columns: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prompts(source=own, columns=columns)


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_an_empty_file_holds_no_prompts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own{suffix}"
    if suffix == ".parquet":
        pa.parquet.write_table(pa.table({"question": pa.array([], pa.string())}), path)
    else:
        write(path, [])
    with pytest.raises(DataError, match="holds no prompts"):
        prompts(source=str(path), columns="prompt=question")


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_a_broken_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own{suffix}"
    path.write_bytes(b"\x1f\x8b\xff\x00 not what its name says")
    with pytest.raises(DataError, match=f"own{suffix}"):
        prompts(source=str(path), columns="prompt=question")
