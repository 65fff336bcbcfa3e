"""Ed25519 keys in files, and signatures with them. `cryptography` does the mathematics (RFC 8032)."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ssd_plugin.core.files import read_input
from ssd_plugin.errors import DataError, TrustError

_MOST_BYTES = 1 << 20  # a key is a few lines

PRIVATE_NAME = "ssd.key"
PUBLIC_NAME = "ssd.pub"


@dataclass(frozen=True, kw_only=True)
class KeyFiles:
    """A new pair of key files and the id by which envelopes name the key."""

    private: Path
    public: Path
    key_id: str


def new_keys(out: Path) -> KeyFiles:
    """Make a key pair in `out`: `ssd.key` (PKCS#8 PEM, mode 0600) and `ssd.pub` (PEM, for `--trust`).

    Raises:
        TrustError: one of the two files exists (nothing is overwritten), or the directory cannot be written.
    """
    private, public = out / PRIVATE_NAME, out / PUBLIC_NAME
    for path in (private, public):
        if os.path.lexists(path):
            raise TrustError(f"{path}: exists and is not overwritten; give another --out or move it away")
    key = Ed25519PrivateKey.generate()
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


def key_id(key: Ed25519PublicKey) -> str:
    """Hex SHA-256 of the key's DER SubjectPublicKeyInfo."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read an unencrypted PKCS#8 PEM Ed25519 key.

    Raises:
        TrustError: unreadable, encrypted, or another kind of key.
    """
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError(
            f"{path}: not an unencrypted Ed25519 private key in PEM; make one with: ssd keys new"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustError(f"{path}: not an Ed25519 key; make one with: ssd keys new")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a PEM Ed25519 public key.

    Raises:
        TrustError: unreadable, or another kind of key (a private key is named as such).
    """
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrustError(
            f"{path}: not a public key in PEM; give the {PUBLIC_NAME} that `ssd keys new` wrote"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise TrustError(f"{path}: not an Ed25519 public key; give the {PUBLIC_NAME} that `ssd keys new` wrote")
    return key


def load_trusted(paths: Iterable[Path]) -> dict[str, Ed25519PublicKey]:
    """The public keys in `paths`, by key id; no paths, no trust: an empty mapping.

    Raises:
        TrustError: as `load_public_key`.
    """
    return {key_id(key): key for key in map(load_public_key, paths)}


def is_signed_by(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the key's over exactly `message`."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return read_input(path, _MOST_BYTES)
    except DataError as error:
        raise TrustError(str(error)) from error
