"""OpenSSF Model Signing (https://github.com/ossf/model-signing-spec): the bundle by which other tools check a promoted model.

The package model-signing makes it (pip install -e '.[model-signing]' in the checkout). It is checked here without that package,
offline, against the digests that were judged: the model's bytes are not read once more.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from ssd_plugin.core.digests import first_difference
from ssd_plugin.core.files import read_input
from ssd_plugin.errors import DataError, DependencyError, TrustError
from ssd_plugin.trust.dsse import IN_TOTO, pae
from ssd_plugin.trust.keyless import Identity, Keyless, Trust, one_line, require_credential, unseal_keyless
from ssd_plugin.trust.signing import is_signed_by, load_private_key

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
Signer = Path | Keyless  # a private key's file, or this process's identity
_GIT = (".git", ".gitattributes", ".github", ".gitignore")  # what the package leaves out unless told otherwise
_MOST_BYTES = 1 << 26  # a line a file: a model of a hundred thousand files is far below


def require_signer(signer: Signer) -> None:
    """Say before any work whether this signer can sign a model.

    Raises:
        DependencyError: model-signing is not installed.
        TrustError: no key that it takes (ECDSA, not Ed25519), or no identity here.
    """
    try:
        import model_signing  # noqa: F401 - whether it is there
    except ImportError as error:
        raise DependencyError(
            f"model-signing is not installed ({error}): pip install -e '.[model-signing]' in the checkout"
        ) from error
    if isinstance(signer, Keyless):
        require_credential()
    elif not isinstance(load_private_key(signer), EllipticCurvePrivateKey):
        raise TrustError(
            f"{signer}: OpenSSF Model Signing takes no Ed25519 keys; make one with: ssd keys new --kind ecdsa-p256"
        )


def sign_model(model: Path, target: Path, signer: Signer) -> None:
    """Write the bundle over every file of the model directory, whatever its name, to `target`.

    Raises:
        DependencyError: model-signing is not installed.
        TrustError: the key, the identity or a file cannot be used.
    """
    require_signer(signer)
    from model_signing import hashing, signing

    # Git's files are the model's here too: what is judged is everything. Links are those of a hub's cache (`digests.open_files`).
    links = any(path.is_symlink() for path in model.rglob("*"))
    files = hashing.Config()  # type: ignore[no-untyped-call]
    files = files.use_file_serialization(allow_symlinks=links)
    files = files.set_ignored_paths(paths=[], ignore_git_paths=False).set_allow_symlinks(links)
    config = signing.Config()  # type: ignore[no-untyped-call]
    config.set_hashing_config(files)
    try:
        if isinstance(signer, Keyless):
            config.use_sigstore_signer(identity_token=require_credential(), trust_config=signer.config)
        else:
            config.use_elliptic_key_signer(private_key=signer)
        config.sign(model.resolve(), target)  # the package follows no link to the directory itself
    except Exception as error:  # the boundary: the library and its clients have no exception type of their own
        raise TrustError(f"{model}: cannot be signed by model-signing ({one_line(error)})") from error


def check_model_signature(path: Path, trusted: Trust, judged: Mapping[str, str], model: Path | None = None) -> None:
    """Whether the bundle at `path` is over exactly the judged files (hex SHA-256 by path), by somebody trusted. Bundles of others
    may leave out git's own files and, where it lies in `model`, themselves: the verdict has the digests of those.

    Raises:
        TrustError: it is not; the message names the file and what is wrong.
    """
    try:
        raw = read_input(path, _MOST_BYTES)
    except DataError as error:
        raise TrustError(str(error)) from error
    try:
        signed = _signed_files(_opened(raw, trusted))
    except TrustError as error:
        raise TrustError(f"{path}: {error}") from error
    own = _within(path, model) if model else ""
    left_out = {name for name in judged.keys() - signed.keys() if name == own or name.split("/")[0] in _GIT}
    expected = {name: digest for name, digest in judged.items() if name not in left_out}
    if difference := first_difference(expected, signed):
        raise TrustError(f"{path}: signs another model than the one that was judged: {difference}")


def _within(path: Path, folder: Path) -> str:
    """The path in the folder, empty if it is not there."""
    place, home = path.resolve(), folder.resolve()
    return place.relative_to(home).as_posix() if place.is_relative_to(home) else ""


def _opened(raw: bytes, trusted: Trust) -> bytes:
    """The statement in a bundle that somebody trusted signed."""
    if isinstance(trusted, Identity):
        return unseal_keyless(raw, trusted, as_written=False).payload
    try:
        envelope = json.loads(raw)["dsseEnvelope"]
        payload, kind = base64.b64decode(envelope["payload"], validate=True), str(envelope["payloadType"])
        (signature,) = (base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"])
        signed = pae(kind, payload)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TrustError("is not a model signature (sigstore bundle) with one signature") from None
    if kind != IN_TOTO:
        raise TrustError(f"is of payload type {kind!r:.80}, not {IN_TOTO!r}")
    if not any(is_signed_by(key, signature, signed) for key in trusted.values()):
        raise TrustError("is not signed by a key that is trusted, or was changed")
    return payload


def _signed_files(payload: bytes) -> dict[str, str]:
    """Hex SHA-256 by path, as a model-signing statement's bytes list them."""
    try:
        content = json.loads(payload)
        if content["predicateType"] != PREDICATE_TYPE:
            raise TrustError(f"holds a {content['predicateType']!r:.80} statement, not a model signature")
        files = [_file(resource) for resource in content["predicate"]["resources"]]
        (subject,) = content["subject"]
        root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in files)).hexdigest()
        if subject["digest"]["sha256"] != root:
            raise TrustError("has a root digest that does not follow from its files")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TrustError("does not hold a model-signing statement") from None
    if len(dict(files)) != len(files):
        raise TrustError("names a file twice")
    return dict(files)


def _file(resource: Any) -> tuple[str, str]:
    name, algorithm, digest = (str(resource[key]) for key in ("name", "algorithm", "digest"))
    if algorithm != "sha256":
        raise TrustError(f"has digests by {algorithm!r:.40}; sign whole files with SHA-256")
    return name, digest
