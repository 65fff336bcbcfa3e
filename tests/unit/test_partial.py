"""A rows file in the making survives a kill at any byte."""

from pathlib import Path

import pytest

from ssd_plugin.errors import ResourceError, RunDirError
from ssd_plugin.partial import PartialFile

ROWS = [{"sample_id": f"s{n}", "text": "é\n" * n} for n in range(4)]


def written(out: Path) -> bytes:
    with PartialFile[str](out, "v1") as partial:
        for row in ROWS:
            partial.append(row["sample_id"], row)
    return partial.path.read_bytes()


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    written(out)
    with PartialFile[str](out, "v1") as partial:
        assert list(partial.rows(["s3", "s0"])) == [ROWS[3], ROWS[0]]
        partial.remove()
    assert not any(tmp_path.iterdir())


def test_a_cut_at_any_byte_keeps_exactly_the_whole_rows(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    content = written(out)
    header = content.index(b"\n") + 1
    for cut in range(len(content) + 1):
        (tmp_path / "rows.jsonl.partial").write_bytes(content[:cut])
        whole = content[header:cut].count(b"\n") if cut >= header else 0
        with PartialFile[str](out, "v1") as partial:
            assert list(partial.offsets) == [row["sample_id"] for row in ROWS[:whole]]
            for row in ROWS[whole:]:
                partial.append(row["sample_id"], row)
            assert list(partial.rows(row["sample_id"] for row in ROWS)) == ROWS
        assert partial.path.read_bytes() == content


def test_rows_of_other_settings_are_thrown_away(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    written(out)
    with PartialFile[str](out, "v2") as partial:
        assert partial.offsets == {}


def test_a_corrupt_row_is_named(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    content = written(out)
    (tmp_path / "rows.jsonl.partial").write_bytes(content.replace(b'"sample_id":"s1"', b'"sample_id";"s1"'))
    with pytest.raises(RunDirError, match="corrupt at byte"), PartialFile[str](out, "v1"):
        pass


def test_a_full_disk_is_named_and_what_was_finished_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PartialFile[str](tmp_path / "rows.jsonl", "v1") as partial, Path("/dev/full").open("wb", buffering=0) as full:
        partial.append("s0", ROWS[0])
        whole = partial.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(partial, "_stream", full)
            with pytest.raises(ResourceError, match="no space left while writing"):
                partial.append("s1", ROWS[1])
        assert list(partial.offsets) == ["s0"]
        assert partial.path.read_bytes() == whole
