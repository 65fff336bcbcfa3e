"""A large file is read once while nothing about it changes, and again as soon as anything does."""

import hashlib
import os
from pathlib import Path

import pytest

from ssd_plugin.core import known_digests
from ssd_plugin.core.digests import model_digests, read_sha256
from ssd_plugin.core.user_state import state_file
from ssd_plugin.models.weights import model_digest
from ssd_plugin.pipeline.run_directory import digest_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Sizes of the files that were read; every file counts as large, and as written long ago."""
    sizes: list[int] = []

    def read(descriptor: int) -> str:
        sizes.append(os.fstat(descriptor).st_size)
        return read_sha256(descriptor)

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(known_digests, "read_sha256", read)
    monkeypatch.setattr(known_digests, "LARGE", 1)
    monkeypatch.setattr(known_digests, "_SETTLED_NS", 0)
    return sizes


def known(path: Path) -> str:
    with path.open("rb") as stream:
        return known_digests.known_sha256(stream.fileno())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_read_once(reads: list[int], tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert [known(path), known(path), known(path)] == [sha256(b"abc")] * 3
    assert reads == [3]


def test_a_file_of_the_same_size_and_modification_time_is_read_again(reads: list[int], tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    before = path.stat()
    known(path)
    path.write_bytes(b"xyz")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert known(path) == sha256(b"xyz")
    other = tmp_path / "other"
    other.write_bytes(b"123")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert known(path) == sha256(b"123")


def test_a_file_written_just_now_is_never_remembered(
    reads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_digests, "_SETTLED_NS", 10**12)
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert known(path) == known(path) == sha256(b"abc")
    assert reads == [3, 3]


def test_a_small_file_is_always_read(reads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_digests, "LARGE", 4)
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert known(path) == known(path)
    assert reads == [3, 3]


@pytest.mark.parametrize("damage", ["writable by others", "a link", "not text", "other words", "too large"])
def test_a_record_that_others_may_have_written_is_not_believed(reads: list[int], tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    known(path)
    record = state_file("digests")
    if damage == "writable by others":
        record.chmod(0o666)
    elif damage == "a link":
        record.rename(tmp_path / "elsewhere")
        record.symlink_to(tmp_path / "elsewhere")
    else:
        record.write_bytes({"not text": b"\xff", "other words": b"1:2 zz\n", "too large": b"0" * (1 << 21)}[damage])
    assert known(path) == sha256(b"abc")
    assert reads == [3, 3]


def test_the_record_is_bounded(reads: list[int], tmp_path: Path) -> None:
    record = state_file("digests")
    record.parent.mkdir(parents=True)
    record.write_bytes(b"0" * (1 << 20))
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    known(path)
    assert record.stat().st_size < 200
    assert record.stat().st_mode & 0o777 == 0o600


def test_without_a_home_it_is_read_each_time(reads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert known(path) == known(path) == sha256(b"abc")
    assert reads == [3, 3]


def test_a_run_asks_for_known_digests_and_a_verdict_reads(reads: list[int], tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"abc")
    assert model_digest(model) == model_digest(model)
    assert digest_path(model) == digest_path(model)
    assert digest_path(model / "weights") == sha256(b"abc")
    assert reads == [3]
    assert model_digests(model) == {"weights": sha256(b"abc")}
    state_file("digests").write_text(state_file("digests").read_text().replace(sha256(b"abc"), "0" * 64))
    assert model_digests(model) == {"weights": sha256(b"abc")}
