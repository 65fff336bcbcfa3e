"""Inputs that are small on the disk and endless to read: refused with one line, in bounded time and memory."""

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ssd_plugin.core import files
from ssd_plugin.core.jsonl import read_json, read_jsonl, write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.tasks import parquet_rows, unpacked
from ssd_plugin.tasks.files import read_rows

ROW = {"task_id": "t", "sample_id": "s", "completion": "x"}
TASK = {"task_id": "t", "prompt": "p", "kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [2]}
MIB = 1 << 20


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def one_line(path: Path) -> None:
    path.write_bytes(b'{"task_id":"' + b"x" * (300 * MIB))


def packed_line(path: Path) -> None:
    with gzip.open(path, "wb", 1) as stream:
        for _ in range(300):
            stream.write(b"\0" * MIB)


def packed_blank(path: Path) -> None:
    with gzip.open(path, "wb", 1) as stream:
        for _ in range(64):
            stream.write(b"\n" * MIB)


def repeated_value(path: Path) -> None:
    value = pa.array(["x" * (100 * MIB)])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), value)
    table = pa.table(dict.fromkeys(("task_id", "sample_id", "completion"), column))
    pa.parquet.write_table(table, path, compression="zstd", write_statistics=False)


BOMBS: dict[str, Callable[[Path], None]] = {
    "sparse.jsonl": sparse,
    "sparse.jsonl.gz": sparse,
    "sparse.json": sparse,
    "sparse.parquet": sparse,
    "line.jsonl": one_line,
    "line.jsonl.gz": packed_line,
    "blank.jsonl.gz": packed_blank,
    "value.parquet": repeated_value,
}


def score(tasks: Path, samples: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("ssd")), "score"]
    return subprocess.run(
        [*command, "--tasks", tasks, "--samples", samples, "--out", tasks.with_name("r.jsonl")],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30)),
    )


@pytest.mark.parametrize("name", BOMBS)
def test_score_refuses_it_with_one_line(tmp_path: Path, name: str) -> None:
    bomb = tmp_path / name
    BOMBS[name](bomb)
    for path, row in ((tmp_path / "t.jsonl", TASK), (tmp_path / "s.jsonl", ROW)):
        write_jsonl(path, [row])
    for done in (score(tmp_path / "t.jsonl", bomb), score(bomb, tmp_path / "s.jsonl")):
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert str(bomb) in done.stderr
    assert not (tmp_path / "r.jsonl").exists()


def test_a_packed_file_may_not_unpack_beyond_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "_FREE", MIB)
    rows = [{**ROW, "sample_id": str(n), "completion": "x" * 10_000} for n in range(1000)]
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet", compression="zstd")
    for name in ("r.jsonl.gz", "r.parquet"):
        with pytest.raises(DataError, match=rf"{name}: unpacks to more than 200 times its size"):
            list(read_rows(tmp_path / name))
    monkeypatch.setattr(unpacked, "_RATIO", 10_000)
    for name in ("r.jsonl.gz", "r.parquet"):
        assert [row for _, row in read_rows(tmp_path / name)] == rows


def test_a_reader_that_is_not_read_to_the_end_is_ended(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pylist([ROW] * 100_000), tmp_path / "r.parquet")
    before = children()
    found = parquet_rows.rows(tmp_path / "r.parquet", ())
    assert next(found) == (1, ROW)
    assert children() > before
    found.close()
    assert children() == before


def children() -> set[str]:
    """Of this process, those of earlier tests included."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_a_document_without_holes_is_read_whatever_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "whole.json"
    path.write_bytes(b"[" + b" " * 100_000 + b"]")
    monkeypatch.setattr(files, "_SMALL", 1000)
    assert read_json(path) == []
    with path.open("r+b") as stream:
        stream.truncate(10_000_000)
    with pytest.raises(DataError, match="large in name only"):
        read_json(path)


@pytest.mark.parametrize(
    ("text", "name"), [('{"a":1,"a":2}', "a"), ('{"b":[{"status":"fail","status":"pass"}]}', "status")]
)
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / "twice.json"
    path.write_text(text)
    for read in (read_json, lambda found: list(read_jsonl(found))):
        with pytest.raises(DataError, match=rf"the name '{name}' is there twice"):
            read(path)


@pytest.mark.timeout(20)
def test_a_million_names_are_compared_at_once(tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text("{" + ",".join(f'"{n}":0' for n in range(500_000)) + ',"499999":1}')
    with pytest.raises(DataError, match="'499999' is there twice"):
        read_json(path)
