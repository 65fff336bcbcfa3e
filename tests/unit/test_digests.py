"""Digests of model directories: everything is covered, nothing can slip in by a link."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ssd_plugin.core.digests import copy_model, first_difference, model_digests, model_identity
from ssd_plugin.errors import TrustError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/x.safetensors").write_bytes(b"x" * 3_000_000)
    (folder / ".hidden").write_bytes(b"")
    (folder / "tokenizer.json").write_bytes(b"{}")
    return folder


def test_every_file_is_covered(model: Path) -> None:
    digests = model_digests(model)
    assert digests == {
        ".hidden": hashlib.sha256(b"").hexdigest(),
        "a/b/x.safetensors": hashlib.sha256(b"x" * 3_000_000).hexdigest(),
        "tokenizer.json": hashlib.sha256(b"{}").hexdigest(),
    }
    assert list(digests) == sorted(digests)


def test_identity_depends_on_names_and_contents_not_on_order(model: Path) -> None:
    digests = model_digests(model)
    assert model_identity(digests) == model_identity(dict(reversed(digests.items())))
    assert model_identity(digests) != model_identity({**digests, "more": "0" * 64})
    assert model_identity(digests) != model_identity({**digests, ".hidden": "0" * 64})


def test_a_copy_has_the_same_digests_and_no_more(model: Path, tmp_path: Path) -> None:
    copy_model(model, tmp_path / "copy")
    assert model_digests(tmp_path / "copy") == model_digests(model)
    with pytest.raises(FileExistsError):
        copy_model(model, tmp_path / "copy")


@pytest.mark.parametrize("target", ["tokenizer.json", "/etc/hostname", "a", "nowhere", ".."])
@pytest.mark.parametrize("where", ["link", "a/b/link"])
def test_links_are_refused_and_named(model: Path, where: str, target: str, tmp_path: Path) -> None:
    (model / where).symlink_to(target)
    with pytest.raises(TrustError, match=r"link is a symbolic link"):
        model_digests(model)
    with pytest.raises(TrustError, match=r"link is a symbolic link"):
        copy_model(model, tmp_path / "copy")


def test_special_files_are_refused_without_waiting_for_a_writer(model: Path) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(TrustError, match="pipe is neither a file nor a folder"):
        model_digests(model)


@pytest.mark.parametrize("name", [b"new\nline", b"esc\x1b[31m", b"\xff\xfe", b"del\x7f"])
def test_names_that_lie_on_a_terminal_are_refused(model: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(model) + b"/" + name)).write_text("x")
    with pytest.raises(TrustError, match="control characters") as refusal:
        model_digests(model)
    assert str(refusal.value).isprintable()


def test_the_directory_itself_may_be_given_by_a_link(model: Path, tmp_path: Path) -> None:
    (tmp_path / "champion").symlink_to(model)
    assert model_digests(tmp_path / "champion") == model_digests(model)


def test_a_hub_cache_s_links_to_its_own_blobs_are_followed(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name/snapshots/abc"
    (snapshot / "sub").mkdir(parents=True)
    blobs = tmp_path / "models--org--name/blobs"
    blobs.mkdir()
    (blobs / "b1").write_bytes(b"one")
    (tmp_path / "secret").write_bytes(b"no")
    (snapshot / "config.json").symlink_to("../../blobs/b1")
    (snapshot / "sub/x.json").symlink_to("../../../blobs/b1")
    one = hashlib.sha256(b"one").hexdigest()
    assert model_digests(snapshot) == {"config.json": one, "sub/x.json": one}
    (blobs / "b2").symlink_to(tmp_path / "secret")
    for target in ("../../../secret", "../../blobs/../../secret", "../../blobs/b2", str(tmp_path / "secret")):
        (snapshot / "out.json").symlink_to(target)
        with pytest.raises(TrustError, match=r"out\.json is a symbolic link"):
            model_digests(snapshot)
        (snapshot / "out.json").unlink()


@pytest.mark.parametrize("kind", ["link", "relative link", "file", "nothing"])
def test_a_hub_cache_s_blobs_must_be_a_folder_of_its_own(tmp_path: Path, kind: str) -> None:
    snapshot, private = tmp_path / "hub/snapshots/abc", tmp_path / "private"
    snapshot.mkdir(parents=True)
    private.mkdir()
    (private / "shadow").write_text("secret")
    blobs = tmp_path / "hub/blobs"
    if kind == "file":
        blobs.write_text("x")
    elif kind != "nothing":
        blobs.symlink_to(private if kind == "link" else "../private")
    (snapshot / "README.md").symlink_to("../../blobs/shadow")
    (snapshot / "sub").mkdir()
    for look in (model_digests, lambda source: copy_model(source, tmp_path / "copy")):
        with pytest.raises(TrustError, match=r"README\.md is a symbolic link"):
            look(snapshot)
    (snapshot / "README.md").rename(snapshot / "sub/README.md")
    with pytest.raises(TrustError, match=r"sub/README\.md is a symbolic link"):
        model_digests(snapshot)


@pytest.mark.parametrize("plant", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("b1")])
def test_what_is_among_a_hub_cache_s_blobs_must_be_a_file(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    snapshot, blobs = tmp_path / "hub/snapshots/abc", tmp_path / "hub/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "b1").write_text("x")
    plant(blobs / "odd")
    (snapshot / "config.json").symlink_to("../../blobs/odd")
    with pytest.raises(TrustError, match=r"config\.json"):
        model_digests(snapshot)


def test_a_copy_keeps_holes(tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    with (source / "model.safetensors").open("wb") as stream:
        stream.write(b"start")
        stream.seek(64 << 20)
        stream.write(b"end")
        stream.truncate(128 << 20)
    copy_model(source, tmp_path / "copy")
    assert model_digests(tmp_path / "copy") == model_digests(source)
    assert (tmp_path / "copy/model.safetensors").stat().st_blocks * 512 < 8 << 20


def test_more_files_than_are_held_open_at_once(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.bin").write_text(str(number))
    found = model_digests(tmp_path)
    assert found == {f"{n}.bin": hashlib.sha256(str(n).encode()).hexdigest() for n in range(200)}
    assert list(found) == sorted(found)


def test_nothing_to_digest_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(TrustError, match=r"not a directory|has no files"):
            model_digests(path)


def test_endless_depth_is_refused(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    with pytest.raises(TrustError, match="levels"):
        model_digests(tmp_path)


def test_the_first_difference_is_named() -> None:
    judged = {"a": "1" * 64, "b": "2" * 64}
    assert first_difference(judged, dict(judged)) is None
    assert first_difference(judged, {"b": "2" * 64}) == "a is missing"
    assert first_difference(judged, {**judged, "c": "3" * 64}) == "c is not among the files that were judged"
    assert "b was changed" in (first_difference(judged, {**judged, "b": "4" * 64}) or "")
