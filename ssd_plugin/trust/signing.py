"""Keys in files, and signatures with them: Ed25519 (RFC 8032), or ECDSA on P-256 for tools that take no Ed25519 keys.
`cryptography` does the mathematics.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ssd_plugin.core.files import read_input
from ssd_plugin.errors import DataError, TrustError

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
KINDS: Mapping[str, Callable[[], PrivateKey]] = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: generate_private_key(SECP256R1()),
}

_MOST_BYTES = 1 << 20  # a key is a few lines
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (NIST SP 800-186)

PRIVATE_NAME = "ssd.key"
PUBLIC_NAME = "ssd.pub"


@dataclass(frozen=True, kw_only=True)
class KeyFiles:
    """A new pair of key files and the id by which envelopes name the key."""

    private: Path
    public: Path
    key_id: str


def new_keys(out: Path, kind: str = "ed25519") -> KeyFiles:
    """Make a key pair of one of `KINDS` in `out`: `ssd.key` (PKCS#8 PEM, mode 0600) and `ssd.pub` (PEM, for `--trust`).

    Raises:
        TrustError: one of the two files exists (nothing is overwritten), or the directory cannot be written.
    """
    private, public = out / PRIVATE_NAME, out / PUBLIC_NAME
    for path in (private, public):
        if os.path.lexists(path):
            raise TrustError(f"{path}: exists and is not overwritten; give another --out or move it away")
    key = KINDS[kind]()
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    shared = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_new(public, shared, 0o644)
        _write_new(private, secret, 0o600)
    except OSError as error:
        raise TrustError(f"{error.filename or out}: cannot be written ({error.strerror})") from error
    return KeyFiles(private=private, public=public, key_id=key_id(key.public_key()))


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # O_EXCL: a file or link that appeared since the check is not followed or overwritten.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def key_id(key: PublicKey) -> str:
    """Hex SHA-256 of the key's DER SubjectPublicKeyInfo."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def load_private_key(path: Path) -> PrivateKey:
    """Read an unencrypted PKCS#8 PEM key, Ed25519 or ECDSA P-256.

    Raises:
        TrustError: unreadable, encrypted, or another kind of key.
    """
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError(f"{path}: not an unencrypted private key in PEM; make one with: ssd keys new") from error
    if isinstance(key, Ed25519PrivateKey) or (isinstance(key, EllipticCurvePrivateKey) and _is_p256(key.curve)):
        return key
    raise TrustError(f"{path}: not an Ed25519 or ECDSA P-256 key; make one with: ssd keys new")


def _is_p256(curve: EllipticCurve) -> bool:
    return isinstance(curve, SECP256R1)


def load_public_key(path: Path) -> PublicKey:
    """Read a PEM public key, Ed25519 or ECDSA P-256.

    Raises:
        TrustError: unreadable, or another kind of key (a private key is named as such).
    """
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrustError(
            f"{path}: not a public key in PEM; give the {PUBLIC_NAME} that `ssd keys new` wrote"
        ) from error
    if isinstance(key, Ed25519PublicKey) or (isinstance(key, EllipticCurvePublicKey) and _is_p256(key.curve)):
        return key
    raise TrustError(f"{path}: not an Ed25519 or ECDSA P-256 public key; give the {PUBLIC_NAME} of `ssd keys new`")


def load_trusted(paths: Iterable[Path]) -> dict[str, PublicKey]:
    """The public keys in `paths`, by key id; no paths, no trust: an empty mapping.

    Raises:
        TrustError: as `load_public_key`.
    """
    return {key_id(key): key for key in map(load_public_key, paths)}


def sign(key: PrivateKey, message: bytes) -> bytes:
    """The key's signature over `message`, the same each time: ECDSA's by RFC 6979, in its canonical form."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    return canonical(key.public_key(), key.sign(message, ECDSA(SHA256(), deterministic_signing=True)))


def canonical(key: PublicKey, signature: bytes) -> bytes:
    """The one spelling of a signature that `sign` writes. ECDSA has two values for each, s and -s: the lower one, in DER.

    Raises:
        ValueError: no ECDSA signature.
    """
    if isinstance(key, Ed25519PublicKey):
        return signature
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _ORDER - s))


def is_signed_by(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the key's over exactly `message`."""
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        else:
            key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return read_input(path, _MOST_BYTES)
    except DataError as error:
        raise TrustError(str(error)) from error
