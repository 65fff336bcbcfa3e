"""Key files and DSSE envelopes: nothing is overwritten, and no byte of an accepted envelope can be changed."""

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ssd_plugin.core.jsonl import dumps
from ssd_plugin.errors import TrustError
from ssd_plugin.trust.dsse import IN_TOTO, pae, seal, unseal
from ssd_plugin.trust.signing import is_signed_by, key_id, load_private_key, load_public_key, load_trusted, new_keys

BODY = b'{"_type":"x"}'


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_new_keys_are_private_and_fit_together(tmp_path: Path) -> None:
    made = new_keys(tmp_path / "deep/keys")
    assert stat.S_IMODE(made.private.stat().st_mode) == 0o600
    trusted = load_trusted([made.public])
    assert list(trusted) == [made.key_id]
    assert unseal(seal(BODY, load_private_key(made.private)), trusted).payload == BODY


def test_an_ecdsa_envelope_has_one_form_and_no_bit_of_it_can_be_changed(tmp_path: Path) -> None:
    made = new_keys(tmp_path, "ecdsa-p256")
    key, trusted = load_private_key(made.private), load_trusted([made.public])
    envelope = seal(BODY, key)
    assert envelope == seal(BODY, key), "the same bytes each time"
    assert unseal(envelope, trusted).payload == BODY
    for position in range(len(envelope)):
        changed = bytearray(envelope)
        changed[position] ^= 1 << position % 8
        with pytest.raises(TrustError):
            unseal(bytes(changed), trusted)


def test_the_other_half_of_an_ecdsa_signature_is_refused(tmp_path: Path) -> None:
    """Both (r, s) and (r, -s) hold for the same bytes: one of them is the file that was signed."""
    made = new_keys(tmp_path, "ecdsa-p256")
    key, trusted = load_private_key(made.private), load_trusted([made.public])
    content = json.loads(seal(BODY, key))
    r, s = decode_dss_signature(base64.b64decode(content["signatures"][0]["sig"]))
    twin = encode_dss_signature(r, ec.SECP256R1().group_order - s)
    assert is_signed_by(key.public_key(), twin, pae(IN_TOTO, BODY)), "mathematically it holds"
    for other in (twin, twin + b"\0", b"", b"\x30\x06\x02\x01\x01\x02\x01\x01"):
        content["signatures"][0]["sig"] = base64.b64encode(other).decode()
        with pytest.raises(TrustError, match="does not hold"):
            unseal(dumps(content).encode() + b"\n", trusted)


def test_other_curves_are_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    pem = serialization.Encoding.PEM
    private = other.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ssd.key").write_bytes(private)
    (tmp_path / "ssd.pub").write_bytes(public)
    with pytest.raises(TrustError, match="not an Ed25519 or ECDSA P-256 key"):
        load_private_key(tmp_path / "ssd.key")
    with pytest.raises(TrustError, match="not an Ed25519 or ECDSA P-256 public key"):
        load_public_key(tmp_path / "ssd.pub")


@pytest.mark.parametrize("name", ["ssd.key", "ssd.pub"])
def test_keys_are_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("nowhere")  # not even through a dangling link
    with pytest.raises(TrustError, match=f"{name}: exists and is not overwritten"):
        new_keys(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_wrong_key_files_are_refused_with_their_name(tmp_path: Path) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "rsa.key").write_bytes(other.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public = other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "rsa.pub").write_bytes(public)
    (tmp_path / "noise").write_bytes(b"\x00noise")
    secret = Ed25519PrivateKey.generate().private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "locked.key").write_bytes(secret)
    made = new_keys(tmp_path)
    for name in ("rsa.key", "noise", "locked.key", "missing", "ssd.pub"):
        with pytest.raises(TrustError, match=name):
            load_private_key(tmp_path / name)
    for path in (tmp_path / "rsa.pub", tmp_path / "noise", made.private):
        with pytest.raises(TrustError, match=path.name):
            load_public_key(path)


def test_signature_agrees_with_rfc_8032() -> None:
    # RFC 8032, 7.1, TEST 2.
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert Ed25519PrivateKey.from_private_bytes(secret).sign(b"\x72").hex() == expected


def test_encoding_is_the_specification_s() -> None:
    # DSSE protocol 1.0.2, "Test Vectors".
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("tybé", b"x") == b"DSSEv1 5 tyb\xc3\xa9 1 x"


def test_envelope_has_the_specification_s_fields(key: Ed25519PrivateKey) -> None:
    content = json.loads(seal(BODY, key))
    assert base64.b64decode(content["payload"]) == BODY
    assert content["payloadType"] == "application/vnd.in-toto+json"
    (signature,) = content["signatures"]
    key.public_key().verify(base64.b64decode(signature["sig"]), pae(IN_TOTO, BODY))
    assert signature["keyid"] == key_id(key.public_key())


def test_every_flipped_bit_is_refused(key: Ed25519PrivateKey) -> None:
    envelope, trusted = seal(BODY, key), {key_id(key.public_key()): key.public_key()}
    for position in range(len(envelope)):
        for bit in range(8):
            changed = bytearray(envelope)
            changed[position] ^= 1 << bit
            with pytest.raises(TrustError):
                unseal(bytes(changed), trusted)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e[:-1],
        lambda e: e + b" ",
        lambda e: e + e,
        lambda e: b"",
        lambda e: b"[]",
        lambda e: b'{"payload":1}',
        lambda e: e.replace(b'"signatures":[', b'"signatures":[],"x":['),
        lambda e: json.dumps({**json.loads(e), "signatures": []}).encode(),
        lambda e: json.dumps(json.loads(e)).encode(),
        lambda e: b"[" * 100_000,
    ],
)
def test_malformed_envelopes_are_refused(key: Ed25519PrivateKey, change: object) -> None:
    trusted = {key_id(key.public_key()): key.public_key()}
    with pytest.raises(TrustError):
        unseal(change(seal(BODY, key)), trusted)  # type: ignore[operator]


def test_only_trusted_keys_and_the_right_payload_type_count(key: Ed25519PrivateKey) -> None:
    stranger = Ed25519PrivateKey.generate()
    trusted = {key_id(key.public_key()): key.public_key()}
    with pytest.raises(TrustError, match="not trusted"):
        unseal(seal(BODY, stranger), trusted)
    with pytest.raises(TrustError, match="not trusted"):
        unseal(seal(BODY, key), {})
    with pytest.raises(TrustError, match="payload type"):
        unseal(seal(BODY, key, "text/plain"), trusted)
    forged = json.loads(seal(BODY, stranger))
    forged["signatures"][0]["keyid"] = key_id(key.public_key())  # claims to be the trusted key
    with pytest.raises(TrustError, match="does not hold"):
        unseal((json.dumps(forged, sort_keys=True, separators=(",", ":")) + "\n").encode(), trusted)


@pytest.mark.parametrize("times", [0, 2, 3])
def test_an_envelope_has_one_signature(times: int) -> None:
    key = Ed25519PrivateKey.generate()
    content = json.loads(seal(b"{}", key))
    content["signatures"] *= times
    with pytest.raises(TrustError, match="it was changed"):
        unseal(dumps(content).encode() + b"\n", {key_id(key.public_key()): key.public_key()})
