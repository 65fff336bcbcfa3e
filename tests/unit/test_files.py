"""Inputs are regular files, outputs replace nothing but regular files, and the grader's key is its user's alone."""

import os
import stat
from pathlib import Path

import pytest

from ssd_plugin.config.overrides import apply_toml
from ssd_plugin.core.files import open_input, read_input
from ssd_plugin.core.jsonl import read_json, read_jsonl, sha256_file, write_json
from ssd_plugin.errors import ConfigError, DataError, TrustError
from ssd_plugin.grading.grading_key import grading_key, key_file
from ssd_plugin.recipes import ssd_smollm2_135m
from ssd_plugin.trust.signing import load_public_key


def special(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "input"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "link to a device", "folder", "nothing"])
def test_an_input_that_is_no_regular_file_is_named_at_once(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path, kind)
    for read in (open_input, read_json, sha256_file, lambda found: list(read_jsonl(found))):
        with pytest.raises(DataError, match=str(path)):
            read(path)
    with pytest.raises(TrustError, match=str(path)):
        load_public_key(path)


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(DataError, match="large in name only"):
        read_input(path)
    path.write_bytes(b"x" * 101)
    with pytest.raises(DataError, match="larger than 100 bytes"):
        read_input(path, 100)


@pytest.mark.parametrize("kind", ["pipe", "link to a device", "folder"])
def test_an_output_replaces_no_link_pipe_device_or_folder(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path, kind)
    before = path.lstat()
    with pytest.raises(DataError, match="not written over"):
        write_json(path, {})
    assert path.lstat().st_ino == before.st_ino
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text", ["seed = " + "9" * 5000, "a = " + "[" * 5000, "\0", "seed = nan", "train.megatron." + "a." * 900 + "a = 1"]
)
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        apply_toml(ssd_smollm2_135m.recipe(), path)


def test_the_graders_key_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert grading_key() == grading_key()
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["readable by others", "short", "link"])
def test_a_key_that_others_may_know_continues_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    known = grading_key()
    if damage == "readable by others":
        key_file().chmod(0o644)
    elif damage == "short":
        key_file().write_bytes(b"")
    else:
        key_file().rename(tmp_path / "elsewhere")
        key_file().symlink_to(tmp_path / "elsewhere")
    assert grading_key() == grading_key() != known
    assert "will have to be graded again" in capsys.readouterr().err


def test_no_place_for_the_key_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert len(grading_key()) == 32
    assert len(capsys.readouterr().err.splitlines()) == 1
