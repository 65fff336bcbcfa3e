"""What the gates read is what was digested, whatever happens to the model's place meanwhile."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ssd_plugin.core.digests import model_digests, open_files
from ssd_plugin.errors import GateError, TrustError
from ssd_plugin.gating.held_model import HeldModel, hold_all, model_subjects, require_untouched


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("judged")
    (folder / "sub/x.txt").write_text("judged")
    (folder / "model.safetensors").write_bytes(b"judged")
    return folder


@pytest.fixture
def held(model: Path, tmp_path: Path) -> Iterator[HeldModel]:
    with ExitStack() as stack:
        yield hold_all({"model": model, "baseline_model": None}, tmp_path / "held", stack)["model"]


def contents(held: HeldModel) -> dict[str, bytes]:
    return {name: stream.read() for name, stream in open_files(held.directory, os.getpid())}


def test_what_is_held_is_what_is_there(held: HeldModel, model: Path) -> None:
    assert held.digests == model_digests(model)
    assert contents(held) == {"config.json": b"judged", "sub/x.txt": b"judged", "model.safetensors": b"judged"}
    assert [(one.role, one.path, one.size) for one in model_subjects({"model": held})] == [
        ("model", "config.json", 6),
        ("model", "model.safetensors", 6),
        ("model", "sub/x.txt", 6),
    ]
    require_untouched({"model": held})


def by_rename(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"shown!")
    other.rename(path)


def in_place(path: Path) -> None:
    times = path.stat()
    path.write_bytes(b"shown!")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("name", ["config.json", "sub/x.txt", "model.safetensors"])
@pytest.mark.parametrize("exchange", [by_rename, in_place])
def test_an_exchange_is_not_seen_or_not_accepted(
    held: HeldModel, model: Path, exchange: Callable[[Path], None], name: str
) -> None:
    path = model / name
    exchange(path)
    large = name.endswith(".safetensors") and exchange is in_place
    assert large or set(contents(held).values()) == {b"judged"}
    with pytest.raises(GateError, match=f"model {name}: was changed while the gates ran"):
        require_untouched({"model": held})
    path.write_bytes(b"judged")  # and back
    with pytest.raises(GateError, match="was changed while the gates ran"):
        require_untouched({"model": held})


def test_a_directory_that_is_exchanged_and_put_back_was_not_seen(held: HeldModel, model: Path, tmp_path: Path) -> None:
    model.rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "aside", model)
    (model / "config.json").write_text("shown!")
    assert set(contents(held).values()) == {b"judged"}
    shutil.rmtree(model)
    (tmp_path / "aside").rename(model)
    require_untouched({"model": held})


@pytest.mark.parametrize("change", [lambda m: (m / "more.txt").touch(), lambda m: (m / "sub/x.txt").unlink()])
def test_files_that_come_and_go_are_named(held: HeldModel, model: Path, change: Callable[[Path], None]) -> None:
    change(model)
    with pytest.raises(GateError, match=r"(more|x)\.txt: was changed"):
        require_untouched({"model": held})


def test_links_to_open_files_are_followed_for_their_holder_only(held: HeldModel, model: Path) -> None:
    with pytest.raises(TrustError, match="symbolic link"):
        model_digests(held.directory)
    (model / "plant.txt").symlink_to(f"/proc/{os.getpid()}/fd/0")
    with ExitStack() as stack, pytest.raises(TrustError, match=r"plant\.txt is a symbolic link"):
        hold_all({"model": model}, held.directory.parent / "again", stack)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "README.md", "model.safetensors", "sub/x.txt"])
def test_a_file_that_is_large_in_name_only_is_refused_at_once(model: Path, tmp_path: Path, name: str) -> None:
    (model / name).touch()
    os.truncate(model / name, 1 << 40)
    with ExitStack() as stack, pytest.raises(TrustError, match=rf"{name} is large in name only"):
        hold_all({"model": model}, tmp_path / "held", stack)
    with pytest.raises(TrustError, match=rf"{name} is large in name only"):
        model_digests(model)


def test_only_weights_may_be_large(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_bytes(b" " * (128 << 20) + b"{}")
    with (
        ExitStack() as stack,
        pytest.raises(TrustError, match=r"config\.json is larger than 128 MiB and holds no weights"),
    ):
        hold_all({"model": model}, tmp_path / "held", stack)
    (model / "config.json").rename(model / "pytorch_model.bin")  # what a candidate may hold, the artifact gate says
    with ExitStack() as stack:
        hold_all({"model": model}, tmp_path / "again", stack)
        assert (tmp_path / "again/model/pytorch_model.bin").is_symlink()


def test_digests_are_of_the_bytes(held: HeldModel) -> None:
    assert held.digests["config.json"] == hashlib.sha256(b"judged").hexdigest()
