"""A promoted model's OpenSSF Model Signing bundle, with the real package on the other side; our envelopes in others' hands."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("model_signing", reason="model-signing is not installed: pip install -e '.[model-signing]'")

import model_signing
from click.testing import CliRunner
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore_stub import ISSUER, serving, token

from ssd_plugin.cli.main import cli
from ssd_plugin.core.digests import model_digests
from ssd_plugin.errors import DependencyError, TrustError
from ssd_plugin.evidence.write import write_evidence
from ssd_plugin.trust.keyless import Identity, Keyless
from ssd_plugin.trust.model_signature import check_model_signature, require_signer, sign_model
from ssd_plugin.trust.promotion import promote, roll_back
from ssd_plugin.trust.registry.directory import DirectoryRegistry
from ssd_plugin.trust.signing import load_public_key, load_trusted, new_keys
from ssd_plugin.trust.verification import verify

NAME = "ci@example.org"
COMMAND = Path(sys.executable).with_name("model_signing")


@pytest.fixture
def ecdsa(judged: Any, tmp_path: Path) -> Any:
    """The judged model of conftest, its evidence signed with an ECDSA key."""
    made: Any = replace(judged, keys=new_keys(tmp_path / "ecdsa", "ecdsa-p256"))
    made.sign(made.go())
    return made


@pytest.fixture
def promoted(ecdsa: Any, tmp_path: Path) -> Path:
    """The version's folder in a registry, its model signed with the key of the evidence."""
    registry = DirectoryRegistry(tmp_path / "registry", "coder")
    trusted = load_trusted([ecdsa.keys.public])
    assert promote(ecdsa.verdict, ecdsa.model, registry, trusted, signer=ecdsa.keys.private).version == "000001"
    return tmp_path / "registry/coder/versions/000001"


def theirs(model: Path, signature: Path, public: Path) -> subprocess.CompletedProcess[str]:
    """What the package's own command says."""
    command = [str(COMMAND), "verify", "key", str(model), "--signature", str(signature), "--public_key", str(public)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_promoted_model_verifies_for_both(promoted: Path, ecdsa: Any, tmp_path: Path) -> None:
    bundle, champion = promoted / "evidence/model.sig", (tmp_path / "registry/coder/champion").resolve()
    assert theirs(champion, bundle, ecdsa.keys.public).returncode == 0
    trusted = load_trusted([ecdsa.keys.public])
    verified = verify(promoted / "evidence/verdict.json", trusted, model=champion, model_signature=bundle)
    assert "model.sig" in verified.evidence
    assert model_digests(champion) == verified.model(), "the bundle is not among the model's files"
    weights = champion / "config.json"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes() + b" ")
    assert theirs(champion, bundle, ecdsa.keys.public).returncode == 1


def test_every_file_is_signed_git_s_too(tmp_path: Path, ecdsa: Any) -> None:
    model = tmp_path / "model"
    (model / ".github").mkdir(parents=True)
    for name in (".gitattributes", ".github/x", "weights"):
        (model / name).write_text(name)
    sign_model(model, tmp_path / "model.sig", ecdsa.keys.private)
    statement = json.loads(
        base64.b64decode(json.loads((tmp_path / "model.sig").read_text())["dsseEnvelope"]["payload"])
    )
    assert {one["name"] for one in statement["predicate"]["resources"]} == {".gitattributes", ".github/x", "weights"}


def test_a_hub_s_cache_is_signed_as_it_is(tmp_path: Path, ecdsa: Any) -> None:
    snapshot = tmp_path / "hub/snapshots/abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "hub/blobs").mkdir()
    (tmp_path / "hub/blobs/1").write_text("weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1")
    sign_model(snapshot, tmp_path / "model.sig", ecdsa.keys.private)
    check_model_signature(tmp_path / "model.sig", load_trusted([ecdsa.keys.public]), model_digests(snapshot))


def test_a_bundle_that_the_package_s_command_made_is_accepted(ecdsa: Any, tmp_path: Path) -> None:
    """As its defaults have it: inside the model, without itself and without git's own files."""
    (ecdsa.model / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    bundle = ecdsa.model / "model.sig"
    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=ecdsa.keys.private)
    hashing = model_signing.hashing.Config().set_ignored_paths(paths=["model.sig"])
    config.set_hashing_config(hashing).sign(ecdsa.model, bundle)
    assert theirs(ecdsa.model, bundle, ecdsa.keys.public).returncode == 0
    path = ecdsa.sign(ecdsa.go())
    trusted = load_trusted([ecdsa.keys.public])
    assert not verify(path, trusted, model=ecdsa.model, model_signature=bundle).unchecked
    stranger = load_trusted([new_keys(tmp_path / "stranger", "ecdsa-p256").public])
    with pytest.raises(TrustError, match=r"model\.sig: is not signed by a key that is trusted"):
        check_model_signature(bundle, stranger, model_digests(ecdsa.model), ecdsa.model)


Change = Callable[[dict[str, Any]], object]


def _statement(content: dict[str, Any], change: Change) -> None:
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    change(statement)
    content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


WRONG: dict[str, Change] = {
    "another payload": lambda c: _statement(c, lambda s: s["subject"][0].update(name="x")),
    "another signature": lambda c: c["dsseEnvelope"]["signatures"][0].update(sig=base64.b64encode(b"0" * 70).decode()),
    "no signature": lambda c: c["dsseEnvelope"].update(signatures=[]),
    "two signatures": lambda c: c["dsseEnvelope"]["signatures"].extend(c["dsseEnvelope"]["signatures"]),
    "another type": lambda c: c["dsseEnvelope"].update(payloadType="text/plain"),
    "no envelope": lambda c: c.pop("dsseEnvelope"),
    "a list": lambda c: c.update(dsseEnvelope=[]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_bundle_beside_the_verdict_is_refused(promoted: Path, ecdsa: Any, name: str) -> None:
    bundle = promoted / "evidence/model.sig"
    content = json.loads(bundle.read_text())
    WRONG[name](content)
    bundle.chmod(0o644)
    bundle.write_text(json.dumps(content))
    with pytest.raises(TrustError, match=r"model\.sig: "):
        verify(promoted / "evidence/verdict.json", load_trusted([ecdsa.keys.public]))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_bundle_is_refused(promoted: Path, ecdsa: Any, content: bytes) -> None:
    bundle = promoted / "evidence/model.sig"
    bundle.chmod(0o644)
    bundle.write_bytes(content)
    with pytest.raises(TrustError, match=r"model\.sig: is not a model signature"):
        verify(promoted / "evidence/verdict.json", load_trusted([ecdsa.keys.public]))


def test_a_right_bundle_of_another_model_is_refused(promoted: Path, ecdsa: Any, factory: Any, tmp_path: Path) -> None:
    bundle = promoted / "evidence/model.sig"
    other = factory.model(tmp_path / "other", b"2")
    bundle.unlink()
    sign_model(other, bundle, ecdsa.keys.private)
    with pytest.raises(
        TrustError, match=r"model\.sig: signs another model than the one that was judged: .*safetensors"
    ):
        verify(promoted / "evidence/verdict.json", load_trusted([ecdsa.keys.public]))
    larger = shutil.copytree(ecdsa.model, tmp_path / "larger")
    (larger / "extra").write_text("x")
    bundle.unlink()
    sign_model(larger, bundle, ecdsa.keys.private)
    with pytest.raises(TrustError, match="extra is not among the files that were judged"):
        verify(promoted / "evidence/verdict.json", load_trusted([ecdsa.keys.public]))


def test_an_absent_bundle_is_refused_where_it_is_demanded(ecdsa: Any, tmp_path: Path) -> None:
    trusted = load_trusted([ecdsa.keys.public])
    assert "model.sig" not in verify(ecdsa.verdict, trusted).evidence
    with pytest.raises(TrustError, match=r"model\.sig"):
        verify(ecdsa.verdict, trusted, model_signature=tmp_path / "model.sig")


def test_a_link_is_no_bundle(promoted: Path, ecdsa: Any) -> None:
    bundle = promoted / "evidence/model.sig"
    bundle.unlink()
    bundle.symlink_to("nowhere")
    with pytest.raises(TrustError, match=r"model\.sig"):
        verify(promoted / "evidence/verdict.json", load_trusted([ecdsa.keys.public]))


def test_a_champion_without_a_bundle_gets_one(ecdsa: Any, tmp_path: Path) -> None:
    registry, trusted = DirectoryRegistry(tmp_path / "registry", "coder"), load_trusted([ecdsa.keys.public])
    promote(ecdsa.verdict, ecdsa.model, registry, trusted)
    again = promote(ecdsa.verdict, ecdsa.model, registry, trusted, signer=ecdsa.keys.private)
    assert (again.version, again.before) == ("000002", "000001")
    assert promote(ecdsa.verdict, ecdsa.model, registry, trusted, signer=ecdsa.keys.private).version == "000002"


def test_a_rollback_checks_the_bundle_too(ecdsa: Any, promoted: Path, factory: Any, tmp_path: Path) -> None:
    registry, trusted = DirectoryRegistry(tmp_path / "registry", "coder"), load_trusted([ecdsa.keys.public])
    second = factory.model(tmp_path / "second", b"2")
    path = ecdsa.sign(ecdsa.go(model=second, baseline=ecdsa.model), tmp_path / "second-evidence")
    promote(path, second, registry, trusted, signer=ecdsa.keys.private)
    bundle = promoted / "evidence/model.sig"
    kept = bundle.read_bytes()
    bundle.chmod(0o644)
    bundle.write_bytes(b"{}")
    with pytest.raises(TrustError, match=r"model\.sig"):
        roll_back(registry, trusted)
    bundle.write_bytes(kept)
    assert roll_back(registry, trusted).version == "000001"


def test_a_signer_who_is_not_trusted_moves_nothing(ecdsa: Any, tmp_path: Path) -> None:
    stranger = new_keys(tmp_path / "stranger", "ecdsa-p256")
    registry = DirectoryRegistry(tmp_path / "registry", "coder")
    with pytest.raises(TrustError, match=r"model\.sig: is not signed by a key that is trusted"):
        promote(ecdsa.verdict, ecdsa.model, registry, load_trusted([ecdsa.keys.public]), signer=stranger.private)
    assert registry.champion() is None
    assert not list((tmp_path / "registry/coder/versions").iterdir())


def test_keys_and_machines_that_cannot_sign_are_named(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrustError, match=r"takes no Ed25519 keys; make one with: ssd keys new --kind ecdsa-p256"):
        require_signer(judged.keys.private)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(DependencyError, match=r"pip install -e '\.\[model-signing\]'"):
        require_signer(judged.keys.private)


def ask(command: str, *arguments: object) -> tuple[int, str]:
    """Run `ssd COMMAND` in this process: the exit status, and all that it said."""
    done = CliRunner().invoke(cli, [command, *map(str, arguments)], standalone_mode=True)
    return done.exit_code, done.output + str(done.exception or "")


def test_the_commands_sign_check_and_demand(ecdsa: Any, judged: Any, tmp_path: Path) -> None:
    given = ("--verdict", ecdsa.verdict, "--model", ecdsa.model, "--trust", ecdsa.keys.public)
    there = ("--registry", tmp_path / "registry")
    for wrong, said in (
        (("--sign", ecdsa.keys.private, "--keyless"), "not both"),
        (("--keyless",), "--keyless with --identity"),
        (("--sign", judged.keys.private), "takes no Ed25519 keys"),
        (("--rollback", "--sign", ecdsa.keys.private), "--rollback takes no"),
    ):
        status, output = ask("promote", *given, *there, *wrong)
        assert status != 0
        assert said in output
    assert not (tmp_path / "registry").exists()
    assert ask("verify", *given, "--model-signature", tmp_path / "model.sig")[0] == 1
    assert ask("promote", *given, *there, "--sign", ecdsa.keys.private)[0] == 0
    bundle = tmp_path / "registry/model/versions/000001/evidence/model.sig"
    for more in ((), ("--model-signature", bundle)):
        status, output = ask("verify", *given, *more, "--json")
        assert (status, json.loads(output)["model_signature"]) == (0, bool(more))


def test_keyless(judged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGSTORE_IDENTITY_TOKEN", token(NAME))
    with serving(tmp_path) as config:
        trusted = Identity(name=NAME, issuer=ISSUER, config=config)
        write_evidence(judged.go(), out=judged.out, programs={}, sign_key=None, keyless=Keyless(config=config))
        registry = DirectoryRegistry(tmp_path / "registry", "coder")
        promote(judged.verdict, judged.model, registry, trusted, signer=Keyless(config=config))
        folder = tmp_path / "registry/coder/versions/000001"
        verifier = model_signing.verifying.Config().use_sigstore_verifier(
            identity=NAME, oidc_issuer=ISSUER, trust_config=config
        )
        verifier.verify(folder / "model", folder / "evidence/model.sig")
    verify(
        folder / "evidence/verdict.json", trusted, model=folder / "model", model_signature=folder / "evidence/model.sig"
    )
    other = replace(trusted, name="somebody@example.org")
    with pytest.raises(TrustError, match=r"model\.sig: is no bundle that somebody@example\.org"):
        check_model_signature(folder / "evidence/model.sig", other, model_digests(folder / "model"))


def key_of(made: Any) -> SSlibKey:
    envelope = json.loads((made.out / "verdict.dsse.json").read_text())
    public: Any = load_public_key(made.keys.public)
    return SSlibKey.from_crypto(public, keyid=envelope["signatures"][0]["keyid"])


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256"])
def test_the_envelope_verifies_with_in_toto_s_library(judged: Any, ecdsa: Any, kind: str, tmp_path: Path) -> None:
    made = replace(judged, keys=new_keys(tmp_path / kind, kind))
    made.sign(made.go())
    content = json.loads((made.out / "verdict.dsse.json").read_text())
    key = key_of(made)
    envelope = Envelope.from_dict(content)
    assert list(envelope.verify([key], threshold=1)) == [key.keyid]
    statement = Statement.copy_from_pb(json_format.Parse(envelope.payload, Statement([], "", {}).pb))
    statement.validate()
    assert statement.pb.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], threshold=1)


def test_the_envelope_verifies_with_sigstore_s_library(ecdsa: Any) -> None:
    """The function by which sigstore's Python client checks a DSSE envelope, under a key of ours; it takes ECDSA only."""
    from sigstore import dsse as sigstore_dsse
    from sigstore.errors import VerificationError as SigstoreError

    raw = (ecdsa.out / "verdict.dsse.json").read_bytes()
    key: Any = load_public_key(ecdsa.keys.public)
    envelope = sigstore_dsse.Envelope._from_json(raw)
    assert sigstore_dsse._verify(key, envelope) == (ecdsa.out / "statement.json").read_bytes()
    content = json.loads(raw)
    content["payload"] = base64.b64encode(b"{}").decode()
    with pytest.raises(SigstoreError):
        sigstore_dsse._verify(key, sigstore_dsse.Envelope._from_json(json.dumps(content)))
