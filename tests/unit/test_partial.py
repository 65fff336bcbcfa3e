"""A rows file in the making survives a kill at any byte."""

import os
from pathlib import Path

import pytest

from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.errors import ResourceError, RunDirError

ROWS = [{"sample_id": f"s{n}", "text": "é\n" * n} for n in range(4)]


def written(out: Path) -> bytes:
    with PartialFile(out, "v1", 4) as partial:
        for number in (2, 0, 3, 1):
            partial.append(number, ROWS[number])
    return partial.path.read_bytes()


def test_rows_come_back_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    written(out)
    with PartialFile(out, "v1", 4) as partial:
        assert list(partial.rows(4)) == ROWS
        partial.remove()
    assert not any(tmp_path.iterdir())


def test_a_cut_at_any_byte_keeps_exactly_the_whole_rows(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    content = written(out)
    header = content.index(b"\n") + 1
    for cut in range(len(content) + 1):
        (tmp_path / "rows.jsonl.partial").write_bytes(content[:cut])
        whole = content[header:cut].count(b"\n") if cut >= header else 0
        with PartialFile(out, "v1", 4) as partial:
            assert [number for number in range(9) if number in partial] == sorted((2, 0, 3, 1)[:whole])
            assert len(partial) == whole
            for number in (2, 0, 3, 1)[whole:]:
                partial.append(number, ROWS[number])
            assert list(partial.rows(4)) == ROWS
        assert partial.path.read_bytes() == content


def test_rows_of_other_settings_are_thrown_away(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    written(out)
    with PartialFile(out, "v2", 4) as partial:
        assert len(partial) == 0


def test_a_change_anywhere_in_a_row_is_named(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    content = written(out)
    begin = content.index(b"\n") + 1
    for at in range(begin, content.index(b"\n", begin)):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        (tmp_path / "rows.jsonl.partial").write_bytes(changed)
        with pytest.raises(RunDirError, match=f"corrupt at byte {begin}"), PartialFile(out, "v1", 4):
            pass


def test_a_row_that_changed_under_an_open_file_is_named(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    content = written(out)
    header, *lines = content.splitlines(keepends=True)
    with PartialFile(out, "v1", 4) as partial:
        for changed in (
            content[:-2] + b"!\n",
            header + lines[0] + lines[2][: len(lines[1])] + lines[2],
            b"".join((header, *lines[:3], lines[1])),  # a whole row, of another number
        ):
            partial.path.write_bytes(changed)
            with pytest.raises(RunDirError, match="corrupt at byte"):
                list(partial.rows(4))


def test_a_full_disk_is_named_and_what_was_finished_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PartialFile(tmp_path / "rows.jsonl", "v1", 4) as partial, Path("/dev/full").open("wb", buffering=0) as full:
        partial.append(0, ROWS[0])
        whole = partial.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(partial, "_stream", full)
            with pytest.raises(ResourceError, match="no space left while writing"):
                partial.append(1, ROWS[1])
        assert 0 in partial
        assert 1 not in partial
        assert partial.path.read_bytes() == whole


@pytest.mark.parametrize("forger", [b"", b"another key"])
def test_rows_without_this_key_are_thrown_away(tmp_path: Path, forger: bytes) -> None:
    out = tmp_path / "rows.jsonl"
    with PartialFile(out, "v1", 4, forger) as partial:
        partial.append(0, ROWS[0])
    with PartialFile(out, "v1", 4, b"key") as partial:
        assert len(partial) == 0


def test_rows_of_one_file_do_not_count_in_another(tmp_path: Path) -> None:
    with PartialFile(tmp_path / "a.jsonl", "v1", 4, b"key") as partial:
        partial.append(0, ROWS[0])
    partial.path.rename(tmp_path / "b.jsonl.partial")
    with PartialFile(tmp_path / "b.jsonl", "v1", 4, b"key") as partial:
        assert len(partial) == 0


@pytest.mark.parametrize("number", [b"x", b"", b"-1", b"4", b"1" * 5000])
def test_a_number_that_no_row_has_is_corrupt(tmp_path: Path, number: bytes) -> None:
    with PartialFile(tmp_path / "rows.jsonl", "v1", 4) as partial:
        line = number + b" {}\n"
        code = partial._code(line)
    with partial.path.open("ab") as stream:
        stream.write(code + b" " + line)
    with pytest.raises(RunDirError, match="corrupt at byte"), PartialFile(tmp_path / "rows.jsonl", "v1", 4):
        pass


@pytest.mark.parametrize("planted", ["link", "hard link", "pipe"])
def test_what_stands_in_its_place_is_replaced_and_nothing_outside_touched(tmp_path: Path, planted: str) -> None:
    outside, place = tmp_path / "outside", tmp_path / "out/rows.jsonl.partial"
    outside.write_text("precious")
    place.parent.mkdir()
    if planted == "pipe":
        os.mkfifo(place)
    elif planted == "link":
        place.symlink_to(outside)
    else:
        place.hardlink_to(outside)
    with PartialFile(tmp_path / "out/rows.jsonl", "v1", 4) as partial:
        partial.append(0, ROWS[0])
    assert outside.read_text() == "precious"
    assert len(place.read_bytes().splitlines()) == 2
