"""Promotion into a directory registry: only a valid GO against the current champion moves the alias, and it moves whole."""

import fcntl
import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.digests import copy_model, model_digests
from ssd_plugin.errors import RegistryError, ResourceError, TrustError
from ssd_plugin.gating.verdict import PolicyRef
from ssd_plugin.trust.promotion import Promotion, promote, roll_back
from ssd_plugin.trust.registry.directory import DirectoryRegistry
from ssd_plugin.trust.registry.uri import open_registry
from ssd_plugin.trust.signing import load_trusted, new_keys
from ssd_plugin.trust.verification import verify


class Shop:
    """A registry, and models that succeed each other in it."""

    def __init__(self, judged: Any, factory: Any, root: Path) -> None:
        self.judged, self.factory, self.root = judged, factory, root
        self.trusted = load_trusted([judged.keys.public])
        self.home = root / "registry/model"

    @property
    def registry(self) -> DirectoryRegistry:
        return DirectoryRegistry(self.root / "registry", "model")

    def model(self, number: int) -> Path:
        folder = self.root / f"model{number}"
        return folder if folder.exists() else self.factory.model(folder, salt=b"%d" % number)

    def verdict(self, number: int, baseline: int | None, **changes: Any) -> Path:
        before = None if baseline is None else self.model(baseline)
        changes = {"reason": f"{number} after {baseline}"} | changes
        verdict = self.judged.go(model=self.model(number), baseline=before, **changes)
        path: Path = self.judged.sign(verdict, self.root / f"evidence{number}-{baseline}")
        return path

    def promote(self, number: int, baseline: int | None) -> Promotion:
        return promote(self.verdict(number, baseline), self.model(number), self.registry, self.trusted)

    def serves(self) -> dict[str, str]:
        return model_digests(self.home / "champion")

    def history(self) -> list[tuple[str, str]]:
        rows = map(json.loads, (self.home / "history.jsonl").read_text().splitlines())
        return [(row["action"], row["version"]) for row in rows]


@pytest.fixture
def shop(judged: Any, factory: Any, tmp_path: Path) -> Shop:
    return Shop(judged, factory, tmp_path)


def test_a_chain_of_promotions_and_rollbacks(shop: Shop) -> None:
    assert shop.promote(1, None) == Promotion(where=str(shop.home), version="000001", before="")
    assert shop.promote(2, 1).before == "000001"
    assert shop.promote(3, 2).version == "000003"
    assert shop.serves() == model_digests(shop.model(3))
    assert roll_back(shop.registry, shop.trusted) == Promotion(where=str(shop.home), version="000002", before="000003")
    assert roll_back(shop.registry, shop.trusted).version == "000001"
    assert shop.serves() == model_digests(shop.model(1))
    with pytest.raises(RegistryError, match="champion is the first"):
        roll_back(shop.registry, shop.trusted)
    assert shop.promote(4, 1).version == "000004"
    assert shop.history() == [
        ("promote", "000001"), ("promote", "000002"), ("promote", "000003"),
        ("rollback", "000002"), ("rollback", "000001"), ("promote", "000004"),
    ]  # fmt: skip
    versions = shop.home / "versions"
    assert sorted(path.name for path in versions.iterdir()) == ["000001", "000002", "000003", "000004"]


def test_the_registry_keeps_evidence_that_verifies_by_itself(shop: Shop) -> None:
    shop.promote(1, None)
    evidence = shop.home / "versions/000001/evidence/verdict.json"
    verified = verify(evidence, shop.trusted, model=shop.home / "champion")
    assert verified.unchecked == ("tasks ../tasks.jsonl: is not there",)
    modes = {path.stat().st_mode & 0o777 for path in (shop.home / "champion/").rglob("*") if path.is_file()}
    assert modes == {0o444}


def test_nothing_behind_a_link_gets_into_the_registry(shop: Shop, tmp_path: Path) -> None:
    path = shop.verdict(1, None)
    (tmp_path / "private").mkdir()
    (tmp_path / "private/shadow").write_text("secret")
    snapshot = tmp_path / "hub/snapshots/abc"
    shutil.copytree(shop.model(1), snapshot)
    (tmp_path / "hub/blobs").symlink_to(tmp_path / "private")
    (snapshot / "README.md").symlink_to("../../blobs/shadow")
    with pytest.raises(TrustError, match=r"README\.md is a symbolic link"):
        promote(path, snapshot, shop.registry, shop.trusted)
    assert not [found for found in shop.home.rglob("*") if found.is_file() and found.read_text("latin1") == "secret"]
    assert not (shop.home / "champion").exists()


def test_the_mark_of_a_champion_is_not_written_through_a_link(shop: Shop, tmp_path: Path) -> None:
    shop.promote(1, None)
    mark = shop.home / "versions/000001/served"
    mark.unlink()
    mark.symlink_to(tmp_path / "elsewhere")
    shop.promote(2, 1)
    assert not (tmp_path / "elsewhere").exists()


def test_repeating_a_promotion_does_nothing(shop: Shop) -> None:
    path = shop.verdict(1, None)
    promote(path, shop.model(1), shop.registry, shop.trusted)
    again = promote(path, shop.model(1), shop.registry, shop.trusted)
    assert (again.version, again.before) == ("000001", "000001")
    assert len(shop.history()) == 1
    (shop.model(1) / "tokenizer.json").write_text("changed")
    with pytest.raises(TrustError, match=r"tokenizer\.json was changed"):
        promote(path, shop.model(1), shop.registry, shop.trusted)


def test_a_champion_that_was_judged_again_is_champion_already(shop: Shop) -> None:
    shop.promote(1, None)
    done = shop.promote(2, 1)
    again = shop.promote(2, 3)  # a new verdict, against whatever baseline, while the first one holds
    assert (again.version, again.before) == (done.version, done.version)
    assert shop.history() == [("promote", "000001"), ("promote", "000002")]
    path = shop.verdict(2, 3)
    (shop.model(2) / "tokenizer.json").write_text("changed")
    with pytest.raises(TrustError, match=r"tokenizer\.json was changed"):
        promote(path, shop.model(2), shop.registry, shop.trusted)


def test_a_champion_whose_verdict_expired_is_served_by_a_new_one(shop: Shop) -> None:
    shop.promote(1, None)
    then = datetime.now(UTC) - timedelta(days=9)
    path = shop.verdict(2, 1, created=then - timedelta(days=1), expires=(then + timedelta(days=1)).isoformat())
    assert promote(path, shop.model(2), shop.registry, shop.trusted, now=then).version == "000002"
    with pytest.raises(TrustError, match="expired"):
        promote(path, shop.model(2), shop.registry, shop.trusted)
    done = shop.promote(2, 3)  # against whatever baseline: it is in production already
    assert (done.version, done.before) == ("000003", "000002")
    assert verify(shop.home / "versions/000003/evidence/verdict.json", shop.trusted, model=shop.home / "champion")
    assert shop.promote(2, 3).version == "000003"
    assert roll_back(shop.registry, shop.trusted).version == "000001"  # not to the same model's earlier version
    assert shop.serves() == model_digests(shop.model(1))


def test_a_champion_whose_files_were_damaged_is_put_in_place_anew(shop: Shop) -> None:
    path = shop.verdict(1, None)
    promote(path, shop.model(1), shop.registry, shop.trusted)
    damaged = shop.home / "versions/000001/model/tokenizer.json"
    damaged.chmod(0o644)
    damaged.write_text("damaged")
    done = promote(path, shop.model(1), shop.registry, shop.trusted)
    assert (done.version, done.before) == ("000002", "000001")
    assert shop.serves() == model_digests(shop.model(1))


def test_a_verdict_of_another_policy_than_the_one_demanded_moves_nothing(shop: Shop) -> None:
    path = shop.verdict(1, None)
    with pytest.raises(TrustError, match="is demanded: run ssd gate with that policy"):
        promote(path, shop.model(1), shop.registry, shop.trusted, policy=PolicyRef(name="default", sha256="b" * 64))
    assert not shop.home.exists()


def test_the_baseline_must_be_the_champion(shop: Shop) -> None:
    shop.promote(1, None)
    with pytest.raises(TrustError, match="names no baseline model"):
        shop.promote(2, None)
    with pytest.raises(TrustError, match="baseline is not the champion"):
        shop.promote(2, 3)
    shop.promote(2, 1)
    with pytest.raises(TrustError, match="baseline is not the champion"):
        shop.promote(3, 1)
    assert shop.serves() == model_digests(shop.model(2))


def test_a_rolled_back_verdict_cannot_come_back_by_itself(shop: Shop) -> None:
    shop.promote(1, None)
    path = shop.verdict(2, 1)
    promote(path, shop.model(2), shop.registry, shop.trusted)
    roll_back(shop.registry, shop.trusted)
    with pytest.raises(TrustError, match="was replaced or rolled back"):
        promote(path, shop.model(2), shop.registry, shop.trusted)
    assert shop.serves() == model_digests(shop.model(1))


def test_a_policy_that_cannot_promote_and_a_verdict_without_model(shop: Shop) -> None:
    verdict = shop.judged.go(model=shop.model(1))
    for change, message in (
        ({"promotable": False}, "cannot promote a model"),
        ({"subjects": ()}, "judged no model files"),
        ({"expires": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}, "expired"),
    ):
        path = shop.judged.sign(replace(verdict, **change))
        with pytest.raises(TrustError, match=message):
            promote(path, shop.model(1), shop.registry, shop.trusted)
    assert not shop.home.exists()


def test_any_changed_file_is_refused_named_and_leaves_nothing(shop: Shop) -> None:
    path = shop.verdict(1, None)
    for file in sorted(shop.model(1).rglob("*")):
        if file.is_dir():
            continue
        original = file.read_bytes()
        for content in (original + b"\0", bytes([original[0] ^ 1]) + original[1:], b""):
            file.write_bytes(content)
            with pytest.raises(TrustError, match=f"{file.relative_to(shop.model(1))} was changed"):
                promote(path, shop.model(1), shop.registry, shop.trusted)
        file.unlink()
        with pytest.raises(TrustError, match="is missing"):
            promote(path, shop.model(1), shop.registry, shop.trusted)
        file.write_bytes(original)
    (shop.model(1) / "extra").touch()
    with pytest.raises(TrustError, match=f"in the copy of {shop.model(1)}: .*extra is not among"):
        promote(path, shop.model(1), shop.registry, shop.trusted)
    assert not list((shop.home / "versions").iterdir())
    assert not os.path.lexists(shop.home / "champion")


def test_files_swapped_after_the_first_check_are_caught_in_the_copy(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = shop.verdict(1, None), shop.model(1)
    calls = []

    def then_swap(*args: Any, **options: Any) -> Any:
        verified = verify(*args, **options)
        calls.append(args)
        if len(calls) == 1:
            (model / "config.json").write_bytes(b'{"auto_map": {}}')
        return verified

    monkeypatch.setattr("ssd_plugin.trust.promotion.verify", then_swap)
    with pytest.raises(TrustError, match=r"config\.json was changed"):
        promote(path, model, shop.registry, shop.trusted)
    assert not os.path.lexists(shop.home / "champion")


def test_evidence_swapped_for_another_valid_verdict_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other, model = shop.verdict(1, None), shop.verdict(1, 2), shop.model(1)

    def then_swap(*args: Any, **options: Any) -> Any:
        verified = verify(*args, **options)
        shutil.copytree(other.parent, path.parent, dirs_exist_ok=True)
        return verified

    monkeypatch.setattr("ssd_plugin.trust.promotion.verify", then_swap)
    with pytest.raises(TrustError, match="exchanged for another"):
        promote(path, model, shop.registry, shop.trusted)
    assert not os.path.lexists(shop.home / "champion")


def test_rollback_checks_the_registry_s_own_files(shop: Shop) -> None:
    shop.promote(1, None)
    shop.promote(2, 1)
    stranger = load_trusted([new_keys(shop.root / "stranger").public])
    for trusted in ({}, stranger):
        with pytest.raises(TrustError, match="trusted"):
            roll_back(shop.registry, trusted)
    file = shop.home / "versions/000001/model/config.json"
    file.chmod(0o644)
    file.write_bytes(b"{}")
    with pytest.raises(TrustError, match=r"config\.json was changed"):
        roll_back(shop.registry, shop.trusted)
    assert shop.serves() == model_digests(shop.model(2))


def test_rollback_refuses_a_version_exchanged_for_another_signed_one(shop: Shop) -> None:
    shop.promote(1, None)
    shop.promote(2, 1)
    versions = shop.home / "versions"
    for part in ("model", "evidence"):  # all of it validly signed, but not what version 1 was
        shutil.rmtree(versions / "000001" / part)
        shutil.copytree(versions / "000002" / part, versions / "000001" / part)
    with pytest.raises(TrustError, match="is not the verdict that version 000001 was promoted with"):
        roll_back(shop.registry, shop.trusted)


def test_rollback_needs_no_valid_date(shop: Shop) -> None:
    old = replace(shop.judged.go(model=shop.model(1)), expires=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    path = shop.judged.sign(old, shop.root / "old")
    promote(path, shop.model(1), shop.registry, shop.trusted)
    shop.promote(2, 1)
    with pytest.raises(TrustError, match="expired"):
        verify(path, shop.trusted, now=datetime.now(UTC) + timedelta(seconds=2))
    assert roll_back(shop.registry, shop.trusted).version == "000001"


def test_two_promoters_are_kept_apart(shop: Shop) -> None:
    shop.promote(1, None)
    with (shop.home / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RegistryError, match="another promotion is running"):
            shop.promote(2, 1)
    assert shop.promote(2, 1).version == "000002"


def test_a_full_disk_leaves_the_champion_and_nothing_else(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.promote(1, None)
    path = shop.verdict(2, 1)

    def full(source: Path, target: Path) -> None:
        copy_model(source, target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssd_plugin.trust.registry.directory.copy_model", full)
    with pytest.raises(ResourceError, match="no space left while writing"):
        promote(path, shop.model(2), shop.registry, shop.trusted)
    assert shop.serves() == model_digests(shop.model(1))
    assert [path.name for path in (shop.home / "versions").iterdir()] == ["000001"]


_CHANGES = ("os.rename", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")


def _killed_at(event: int, action: Any) -> bool:
    """Run `action` in a forked child that SIGKILLs itself before its `event`-th change to a file; whether it was killed."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(name: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if name in _CHANGES or (name == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                seen += 1
                if seen == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("step", ["promote", "rollback"])
def test_killed_at_any_moment_the_alias_is_whole_and_the_next_command_succeeds(
    shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a killed process loses nothing that it wrote
    for number in (1, 2):
        for extra in ("adapter", "model-00002-of-00002.safetensors", "chat_template.jinja", "generation_config.json"):
            path = shop.model(number) / extra
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shop.promote(1, None)
    path = shop.verdict(2, 1)
    if step == "rollback":
        shop.promote(2, 1)
    pristine = shop.root / "pristine"
    shutil.copytree(shop.home, pristine, symlinks=True)

    def act() -> None:
        if step == "rollback":
            roll_back(shop.registry, shop.trusted)
        else:
            promote(path, shop.model(2), shop.registry, shop.trusted)

    old, new = (1, 2) if step == "promote" else (2, 1)
    moved, event = 0, 1
    while _killed_at(event, act):
        served = shop.serves()
        assert served in (model_digests(shop.model(old)), model_digests(shop.model(new))), f"torn at {event}"
        if served == model_digests(shop.model(new)):
            moved += 1  # killed after the move: for a rollback, a second one would go on
        else:
            act()
        assert shop.serves() == model_digests(shop.model(new)), f"not repaired after {event}"
        last = shop.history()[-1]
        with shop.registry.locked():
            assert sorted(p.name for p in (shop.home / "versions").iterdir()) == ["000001", "000002"]
        assert last == (step, "000002" if step == "promote" else "000001")
        shutil.rmtree(shop.home)
        shutil.copytree(pristine, shop.home, symlinks=True)
        event += 1
    assert event > (30 if step == "promote" else 8), "the child was hardly ever killed"
    assert moved < event - 1


def test_what_was_champion_once_is_never_cleared_away(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.promote(number, number - 1 or None)
    (shop.home / "champion").unlink()
    (shop.home / "champion").symlink_to("versions/000002/model")  # by hand
    assert shop.promote(4, 2).before == "000002"
    assert sorted(path.name for path in (shop.home / "versions").iterdir()) == ["000001", "000002", "000003", "000004"]


@pytest.mark.parametrize("promotions", [1, 3])
def test_an_alias_that_was_lost_is_an_error_and_costs_nothing(shop: Shop, promotions: int) -> None:
    for number in range(1, promotions + 1):
        shop.promote(number, number - 1 or None)
    (shop.home / "champion").unlink()
    for _ in range(2):
        with pytest.raises(RegistryError, match=f"restore it as a link to versions/00000{promotions}/model"):
            shop.promote(promotions + 1, None)
    assert len(shop.history()) == promotions
    assert len(list((shop.home / "versions").iterdir())) == promotions


def test_a_lost_history_is_an_error_and_costs_nothing(shop: Shop) -> None:
    shop.promote(1, None)
    (shop.home / "champion").unlink()
    (shop.home / "history.jsonl").unlink()
    with pytest.raises(RegistryError, match=r"history\.jsonl: is missing, but there is version 000001"):
        shop.promote(2, None)
    assert (shop.home / "versions/000001/model").is_dir()


def test_an_older_history_does_not_cost_what_was_champion_since(shop: Shop) -> None:
    shop.promote(1, None)
    older = (shop.home / "history.jsonl").read_text()
    shop.promote(2, 1)
    (shop.home / "history.jsonl").write_text(older)
    (shop.home / "champion").unlink()
    (shop.home / "champion").symlink_to("versions/000001/model")
    assert shop.promote(3, 1).version == "000003"
    assert (shop.home / "versions/000002/model").is_dir()


def test_a_registry_copied_without_its_links_is_an_error_that_says_so(shop: Shop) -> None:
    shop.promote(1, None)
    copy = shop.root / "copy"
    shutil.copytree(shop.home, copy / "model")
    with pytest.raises(RegistryError, match="is not a symbolic link"):
        DirectoryRegistry(copy, "model").champion()
    with pytest.raises(RegistryError, match="is not a symbolic link"), DirectoryRegistry(copy, "model").locked():
        pass
    assert (copy / "model/versions/000001/model").is_dir()


def test_a_history_of_before_moves_were_noted_still_counts(shop: Shop) -> None:
    for number in (1, 2):
        shop.promote(number, number - 1 or None)
    rows = [json.loads(line) for line in (shop.home / "history.jsonl").read_text().splitlines()]
    assert [row.pop("moved") for row in rows] == [True, True]
    (shop.home / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for mark in shop.home.glob("versions/*/served"):
        mark.unlink()
    assert shop.promote(3, 2).version == "000003"
    assert roll_back(shop.registry, shop.trusted).version == "000002"


@pytest.mark.parametrize("target", ["/etc", "../elsewhere/model", "versions/000009/model", "versions/000001"])
def test_an_alias_that_the_registry_did_not_write_is_refused(shop: Shop, target: str) -> None:
    shop.promote(1, None)
    (shop.home / "champion").unlink()
    (shop.home / "champion").symlink_to(target)
    with pytest.raises(RegistryError):
        shop.promote(2, 1)


@pytest.mark.parametrize("content", ["{", '{"version": "../../x"}\n', '{"action": "promote"}\n'])
def test_a_corrupt_history_is_refused(shop: Shop, content: str) -> None:
    shop.promote(1, None)
    (shop.home / "history.jsonl").write_text(content)
    with pytest.raises(RegistryError, match=r"history\.jsonl"):
        shop.promote(2, 1)
    assert shop.serves() == model_digests(shop.model(1))


def test_nothing_that_is_not_the_registry_s_is_deleted(shop: Shop) -> None:
    (shop.home / "versions/notes").mkdir(parents=True)
    (shop.home / "versions/README").write_text("mine")
    shop.promote(1, None)
    assert (shop.home / "versions/README").read_text() == "mine"
    assert (shop.home / "versions/notes").is_dir()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\nb", "-x", "x" * 101])
def test_hostile_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="model name"):
        open_registry(str(tmp_path), name)


@pytest.mark.parametrize("uri", ["", "ftp://x/y", "s3://bucket"])
def test_unknown_registries_are_refused(uri: str) -> None:
    with pytest.raises(RegistryError, match="give a directory or an MLflow URI"):
        open_registry(uri, "model")


def test_a_file_uri_is_a_directory(tmp_path: Path) -> None:
    assert open_registry(f"file://{tmp_path}/a%20b", "m").where == f"{tmp_path}/a b/m"
