"""One conformance suite for every registry. MLflow runs as a real server on loopback, where MLflow is installed."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.digests import model_digests, model_identity
from ssd_plugin.errors import RegistryError, TrustError
from ssd_plugin.trust.promotion import promote, roll_back
from ssd_plugin.trust.registry.protocol import Registry, Release
from ssd_plugin.trust.registry.uri import open_registry
from ssd_plugin.trust.signing import load_trusted

NO_MLFLOW = "MLflow is not installed here; run: make test-mlflow (an environment of its own)"


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"MLflow did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip(NO_MLFLOW)
    home = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"sqlite:///{home}/db", "--artifacts-destination", str(home / "artifacts")]  # fmt: skip
    log = home / "log"
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=home, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # the server's own group; it does not end its workers when asked
            server.wait(30)


@pytest.fixture(params=["directory", "mlflow"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "registry") if request.param == "directory" else request.getfixturevalue("mlflow_uri")


@pytest.fixture
def registry(uri: str, tmp_path: Path) -> Registry:
    return open_registry(uri, f"model-{tmp_path.name}")


def draft(model: Path, replaces: str = "") -> Release:
    return Release(version="", model=model_identity(model_digests(model)), verdict="f" * 64, replaces=replaces)


def evidence_of(judged: Any) -> dict[str, Path]:
    return {str(p.relative_to(judged.out)): p for p in judged.out.rglob("*") if p.is_file()}


def test_an_empty_registry_has_no_champion(registry: Registry) -> None:
    assert registry.champion() is None
    with registry.locked():
        assert registry.releases() == []


def test_a_version_holds_exactly_what_was_added_and_is_not_champion_yet(registry: Registry, judged: Any) -> None:
    with registry.locked():
        release = registry.add(judged.model, evidence_of(judged), draft(judged.model))
        assert registry.champion() is None
        with registry.contents(release) as (model, evidence):
            assert model_digests(model) == model_digests(judged.model)
            assert model_digests(evidence) == model_digests(judged.out)
        registry.point(release, "promote")
        assert registry.champion() == release
        assert registry.releases() == [release]


def test_a_discarded_version_is_gone(registry: Registry, judged: Any) -> None:
    with registry.locked():
        release = registry.add(judged.model, {}, draft(judged.model))
        registry.discard(release)
        assert registry.champion() is None
    with registry.locked():
        assert registry.releases() == []


def test_what_a_killed_promotion_left_is_cleared_by_the_next(registry: Registry, judged: Any) -> None:
    with registry.locked():
        first = registry.add(judged.model, {}, draft(judged.model))
        registry.point(first, "promote")
    with registry.locked():
        registry.add(judged.model, {}, replace(draft(judged.model), verdict="e" * 64, replaces=first.version))
    with registry.locked():
        assert registry.releases() == [first]
        second = registry.add(judged.model, {}, replace(draft(judged.model), verdict="d" * 64, replaces=first.version))
        registry.point(second, "promote")
        assert [release.verdict[0] for release in registry.releases()] == ["f", "d"]


def test_the_alias_moves_forth_and_back(registry: Registry, judged: Any) -> None:
    with registry.locked():
        first = registry.add(judged.model, {}, draft(judged.model))
        registry.point(first, "promote")
    with registry.locked():
        second = registry.add(judged.model, {}, draft(judged.model, first.version))
        registry.point(second, "promote")
    with registry.locked():
        registry.point(first, "rollback")
    assert registry.champion() == first
    with registry.locked():
        assert registry.releases() == [first, second]


def test_links_are_never_copied_in(registry: Registry, judged: Any) -> None:
    (judged.model / "secret").symlink_to("/etc/hostname")
    with registry.locked(), pytest.raises(TrustError, match="secret is a symbolic link"):
        registry.add(judged.model, {}, draft(judged.model))


def test_models_do_not_see_each_other(uri: str, judged: Any, tmp_path: Path) -> None:
    one, two = (open_registry(uri, f"{name}-{tmp_path.name}") for name in ("one", "two"))
    with one.locked():
        one.point(one.add(judged.model, {}, draft(judged.model)), "promote")
    assert one.champion() is not None
    assert two.champion() is None


def test_promotion_and_rollback_from_end_to_end(registry: Registry, judged: Any, factory: Any, tmp_path: Path) -> None:
    trusted = load_trusted([judged.keys.public])
    old, new = factory.model(tmp_path / "old", salt=b"o"), factory.model(tmp_path / "new", salt=b"n")
    first = judged.sign(judged.go(model=old), tmp_path / "first")
    second = judged.sign(judged.go(model=new, baseline=old), tmp_path / "second")
    (new / "config.json").write_bytes(b"{}")
    promote(first, old, registry, trusted)
    with pytest.raises(TrustError, match=r"config\.json was changed"):
        promote(second, new, registry, trusted)
    factory.model(new, salt=b"n")
    done = promote(second, new, registry, trusted)
    assert promote(second, new, registry, trusted).version == done.version
    with registry.contents(registry.champion() or pytest.fail("no champion")) as (model, _):
        assert model_digests(model) == model_digests(new)
    assert roll_back(registry, trusted).version == done.before
    with pytest.raises(TrustError, match="was replaced or rolled back"):
        promote(second, new, registry, trusted)
    with pytest.raises(RegistryError, match="is the first"):
        roll_back(registry, trusted)


def test_mlflow_files_changed_in_the_store_are_refused(mlflow_uri: str, judged: Any, tmp_path: Path) -> None:
    registry = open_registry(mlflow_uri, f"tamper-{tmp_path.name}")
    trusted = load_trusted([judged.keys.public])

    class Lossy(type(registry)):  # type: ignore[misc]
        """A store that changes a file on the way in."""

        def add(self, model: Path, evidence: Any, release: Release) -> Release:
            (model / "tokenizer.json").write_bytes(b'{"model": {"vocab": {"x": 1}}}')
            return super().add(model, evidence, release)  # type: ignore[no-any-return]

    with pytest.raises(TrustError, match=r"tokenizer\.json was changed"):
        promote(judged.verdict, judged.model, Lossy(mlflow_uri, f"tamper-{tmp_path.name}"), trusted)
    assert registry.champion() is None


def test_mlflow_notices_when_somebody_else_moved_the_alias(mlflow_uri: str, judged: Any, tmp_path: Path) -> None:
    ours, theirs = (open_registry(mlflow_uri, f"race-{tmp_path.name}") for _ in range(2))
    with ours.locked():
        release = ours.add(judged.model, {}, draft(judged.model))
        with theirs.locked():
            pass  # clears our version, which is not champion yet, as a leftover
        with pytest.raises(RegistryError):
            ours.point(release, "promote")
    with ours.locked():
        release = ours.add(judged.model, {}, draft(judged.model))
        theirs._seen = ""  # type: ignore[attr-defined]
        theirs.point(release, "promote")
        with pytest.raises(RegistryError, match="moved by somebody else"):
            ours.point(release, "promote")


def test_a_server_that_is_not_there_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip(NO_MLFLOW)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9"):
        open_registry("http://127.0.0.1:9", "model").champion()
