"""Keyless signing with the real sigstore client, against Fulcio and Rekor of our own on loopback; verified with both gone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sigstore", reason="sigstore is not installed: pip install -e '.[sigstore]'")

from click.testing import CliRunner
from sigstore_stub import ISSUER, serving, token

from ssd_plugin.errors import TrustError
from ssd_plugin.evidence.write import write_evidence
from ssd_plugin.trust import keyless
from ssd_plugin.trust.keyless import Identity, Keyless, require_credential, seal_keyless, unseal_keyless
from ssd_plugin.trust.promotion import promote, roll_back
from ssd_plugin.trust.registry.directory import DirectoryRegistry
from ssd_plugin.trust.signing import load_trusted
from ssd_plugin.trust.verification import verify

NAME = "ci@example.org"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sigstore")


@pytest.fixture(scope="module")
def config(folder: Path) -> Iterator[Path]:
    with serving(folder) as path:
        yield path


@pytest.fixture
def signed(judged: Any, config: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The judged model of conftest, its evidence signed keyless and by no key."""
    monkeypatch.setenv("SIGSTORE_IDENTITY_TOKEN", token(NAME))
    program = {("candidate", "t1", "0"): "import os\n"}
    write_evidence(judged.go(), out=judged.out, programs=program, sign_key=None, keyless=Keyless(config=config))
    return judged


def trusted(config: Path, **changes: str) -> Identity:
    return Identity(**{"name": NAME, "issuer": ISSUER, **changes}, config=config)


def test_a_keyless_go_verifies_promotes_and_rolls_back(signed: Any, config: Path, tmp_path: Path, factory: Any) -> None:
    verified = verify(signed.verdict, trusted(config), model=signed.model)
    assert verified.key_id == f"{NAME} ({ISSUER})"
    assert "verdict.sigstore.json" in verified.evidence
    registry = DirectoryRegistry(tmp_path / "registry", "coder")
    assert promote(signed.verdict, signed.model, registry, trusted(config)).version == "000001"
    second = factory.model(tmp_path / "second", b"2")
    out = tmp_path / "second-evidence"
    verdict = signed.go(model=second, baseline=signed.model)
    write_evidence(verdict, out=out, programs={}, sign_key=None, keyless=Keyless(config=config))
    assert promote(out / "verdict.json", second, registry, trusted(config)).version == "000002"
    assert roll_back(registry, trusted(config)).version == "000001"


@pytest.mark.parametrize("changes", [{"name": "somebody@example.org"}, {"issuer": "https://other.example"}])
def test_another_identity_is_refused(signed: Any, config: Path, changes: dict[str, str]) -> None:
    with pytest.raises(TrustError, match=r"verdict\.sigstore\.json: is no bundle that"):
        verify(signed.verdict, trusted(config, **changes), model=signed.model)


def test_another_sigstore_is_refused(signed: Any, config: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other, pytest.raises(TrustError, match="is no bundle that"):
        verify(signed.verdict, trusted(other), model=signed.model)
    with pytest.raises(TrustError, match="is no bundle that"):  # the public one, from the copy in the library
        verify(signed.verdict, Identity(name=NAME, issuer=ISSUER), model=signed.model)


def test_a_key_and_an_identity_do_not_stand_in_for_each_other(signed: Any, config: Path) -> None:
    with pytest.raises(TrustError, match=r"verdict\.dsse\.json: is missing"):
        verify(signed.verdict, load_trusted([signed.keys.public]))
    signed.sign(signed.go())
    assert not (signed.out / "verdict.sigstore.json").exists(), "an older signature does not outlive a new run"
    with pytest.raises(TrustError, match=r"verdict\.sigstore\.json: is missing"):
        verify(signed.verdict, trusted(config))


def test_no_byte_of_the_evidence_can_be_changed(signed: Any, config: Path) -> None:
    for path in sorted(path for path in signed.out.rglob("*") if path.is_file()):
        before = path.read_bytes()
        step = 53 if path.name == "verdict.sigstore.json" else max(1, len(before) // 3)
        for place in range(0, len(before), step):
            path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
            with pytest.raises(TrustError, match=path.name.replace(".", r"\.")):
                verify(signed.verdict, trusted(config))
        path.write_bytes(before + b" ")
        with pytest.raises(TrustError, match=path.name.replace(".", r"\.")):
            verify(signed.verdict, trusted(config))
        path.write_bytes(before)
    verify(signed.verdict, trusted(config), model=signed.model)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\x00", b"[" * 100_000])
def test_what_is_no_bundle_is_refused(config: Path, content: bytes) -> None:
    with pytest.raises(TrustError, match="is no bundle"):
        unseal_keyless(content, trusted(config))


def test_without_an_identity_nothing_is_signed(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    monkeypatch.delenv("SIGSTORE_IDENTITY_TOKEN", raising=False)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    with pytest.raises(TrustError, match="no identity here"):
        require_credential()
    monkeypatch.setenv("SIGSTORE_IDENTITY_TOKEN", "not a token")
    with pytest.raises(TrustError, match="keyless signing failed: IdentityError"):
        seal_keyless(b"{}", Keyless(config=config))


def test_services_that_are_gone_are_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving(tmp_path) as path:
        pass
    monkeypatch.setenv("SIGSTORE_IDENTITY_TOKEN", token(NAME))
    with pytest.raises(TrustError, match="keyless signing failed") as failed:
        seal_keyless(
            b'{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}', Keyless(config=path)
        )
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("text", ["", "{}", "no json"])
def test_a_configuration_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(TrustError, match=r"config\.json"):
        unseal_keyless(b"{}", trusted(tmp_path / "config.json"))


def test_the_command_takes_an_identity_or_keys(signed: Any, config: Path) -> None:
    from ssd_plugin.cli.main import cli

    def run(*words: str) -> Any:
        return CliRunner().invoke(
            cli, ["verify", "--verdict", str(signed.verdict), "--model", str(signed.model), *words]
        )

    who = ("--identity", NAME, "--issuer", ISSUER, "--sigstore-config", str(config))
    done = run(*who, "--json")
    assert (done.exit_code, json.loads(done.stdout)["key_id"]) == (0, f"{NAME} ({ISSUER})")
    for words in ((*who, "--trust", str(signed.keys.public)), who[:2], who[2:4], who[4:]):
        refused = run(*words)
        assert refused.exit_code != 0
        assert "--identity and --issuer together" in refused.output
    assert keyless._TOKEN not in done.output
