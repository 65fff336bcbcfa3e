"""Data files that would overwhelm their reader."""

import gzip
from pathlib import Path

import pytest

from ssd_plugin.errors import DataError
from ssd_plugin.tasks.files import read_rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", b"[" * 200_000),
        ("t.json", b"[" + b"9" * 5000 + b"]"),
        ("t.jsonl", b'{"task_id": ' + b"9" * 5000 + b"}"),
        ("t.jsonl.gz", gzip.compress(b"[" * 200_000)),
        ("t.jsonl.gz", gzip.compress(b"")[:10] + b"\xff" * 40),
    ],
    ids=["deep", "long number", "long number in a line", "deep and zipped", "broken zip"],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        list(read_rows(tmp_path / name))


def test_a_bad_line_of_a_zipped_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(b"{}\n{\n"))
    with pytest.raises(DataError, match=r"t\.jsonl\.gz:2: not valid JSON"):
        list(read_rows(tmp_path / "t.jsonl.gz"))
