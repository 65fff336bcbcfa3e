"""Keyless signing with sigstore (https://docs.sigstore.dev), optional: pip install -e '.[sigstore]' in the checkout.

Nobody keeps a key: an OIDC issuer vouches for an identity (a CI workflow, a person), Fulcio certifies a key that lives for ten
minutes, and the Rekor log says when it signed. All of that is in the bundle, which verifies offline.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.core.files import read_input
from ssd_plugin.errors import DependencyError, TrustError
from ssd_plugin.trust.dsse import IN_TOTO, Opened
from ssd_plugin.trust.signing import PublicKey

_TOKEN = "SIGSTORE_IDENTITY_TOKEN"  # the variable that sigstore's own command reads


@dataclass(frozen=True, kw_only=True)
class Keyless:
    """Sign as whom the environment says we are. `config`: a client trust configuration (JSON) of another sigstore than the
    public one."""

    config: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose bundles are trusted: the certificate's subject (an e-mail address or a workflow's URI) and the URL of the issuer that
    vouched for it. `config` as for `Keyless`."""

    name: str
    issuer: str
    config: Path | None = None


Trust = Mapping[str, PublicKey] | Identity  # public keys by id, or one identity that sigstore vouches for


def require_credential() -> str:
    """The OIDC token of this process's identity: `SIGSTORE_IDENTITY_TOKEN`, or the CI system's own.

    Raises:
        DependencyError: sigstore is not installed.
        TrustError: there is no such token.
    """
    _library()
    from sigstore.oidc import IdentityError, detect_credential

    try:
        token = os.environ.get(_TOKEN) or detect_credential()
    except IdentityError as error:
        raise TrustError(f"keyless signing: the CI system gave no identity ({one_line(error)})") from error
    if not token:
        raise TrustError(
            "keyless signing: no identity here; run in CI with an OIDC token (GitHub: permissions id-token: write), "
            f"set {_TOKEN}, or sign with a key (--sign)"
        )
    return token


def seal_keyless(body: bytes, signer: Keyless) -> bytes:
    """The bundle file's bytes: `body`, an in-toto statement, signed by this process's identity.

    Raises:
        DependencyError: sigstore is not installed.
        TrustError: no identity, or Fulcio or Rekor refused or cannot be reached.
    """
    token = require_credential()
    from sigstore.dsse import Statement
    from sigstore.oidc import IdentityToken
    from sigstore.sign import SigningContext

    config = _trust_config(signer.config, offline=False)
    try:
        with SigningContext.from_trust_config(config).signer(IdentityToken(token)) as signing:
            return _file(signing.sign_dsse(Statement(body)))
    except Exception as error:  # the boundary: the library lets its clients' private exception types through
        raise TrustError(f"keyless signing failed: {one_line(error)}") from error


def unseal_keyless(bundle: bytes, trusted: Identity, *, as_written: bool = True) -> Opened:
    """The payload of `bundle`, only if `trusted` signed it. No network: the trust root is the configuration's, or the copy
    of the public one that the library keeps.

    Stricter than sigstore asks: the file must be byte for byte what `seal_keyless` writes for its content; not where `as_written`
    is false, for bundles of other tools.

    Raises:
        DependencyError: sigstore is not installed.
        TrustError: malformed, of another payload type, signed by somebody else, or with a proof that fails.
    """
    _library()
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity as SigstoreIdentity

    policy = SigstoreIdentity(identity=trusted.name, issuer=trusted.issuer)
    config = _trust_config(trusted.config, offline=True)
    try:
        parsed = Bundle.from_json(bundle)
        written = _file(parsed)
        kind, payload = Verifier(trusted_root=config.trusted_root).verify_dsse(parsed, policy)
    except Exception as error:  # the boundary: a hostile bundle may raise anything in the library; nothing of it passes
        raise TrustError(f"is no bundle that {trusted.name} of {trusted.issuer} signed ({one_line(error)})") from error
    if as_written and written != bundle:
        raise TrustError("is not a sigstore bundle as `ssd gate --keyless` writes it: it was changed")
    if kind != IN_TOTO:
        raise TrustError(f"is of payload type {kind!r}, not {IN_TOTO!r}")
    return Opened(payload=payload, key_id=f"{trusted.name} ({trusted.issuer})")


def _library() -> None:
    try:
        import sigstore  # noqa: F401 - whether it is there
    except ImportError as error:
        raise DependencyError(
            f"sigstore is not installed ({error}): pip install -e '.[sigstore]' in the checkout"
        ) from error


def _trust_config(path: Path | None, *, offline: bool) -> Any:
    from sigstore.models import ClientTrustConfig

    try:
        if path is None:
            return ClientTrustConfig.production(offline=offline)
        return ClientTrustConfig.from_json(read_input(path).decode("utf-8"))
    except Exception as error:  # the boundary: files of the user's and, online, an update of the trust root
        where = path or "the public sigstore's trust root"
        raise TrustError(f"{where}: cannot be read as a sigstore trust configuration ({one_line(error)})") from error


def _file(bundle: Any) -> bytes:
    return str(bundle.to_json()).encode() + b"\n"


def one_line(error: Exception) -> str:
    """A library's exception, for the message of one of ours."""
    return " ".join(f"{type(error).__name__} {error}".split())[:300]
