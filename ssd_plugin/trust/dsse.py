"""DSSE, the signing envelope (https://github.com/secure-systems-lab/dsse, protocol 1.0.2)."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssd_plugin.core.jsonl import dumps
from ssd_plugin.errors import TrustError
from ssd_plugin.trust.signing import PrivateKey, PublicKey, canonical, is_signed_by, key_id, sign

IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The bytes that a trusted key signed, and which key that was."""

    payload: bytes
    key_id: str


def pae(payload_type: str, body: bytes) -> bytes:
    """Pre-authentication encoding: what is signed. Lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def seal(body: bytes, key: PrivateKey, payload_type: str = IN_TOTO) -> bytes:
    """The envelope file's bytes: `body` signed by `key`, as one line of canonical JSON."""
    signature = {"keyid": key_id(key.public_key()), "sig": _encode(sign(key, pae(payload_type, body)))}
    return _file({"payload": _encode(body), "payloadType": payload_type, "signatures": [signature]})


def unseal(envelope: bytes, trusted: Mapping[str, PublicKey], payload_type: str = IN_TOTO) -> Opened:
    """The payload of `envelope`, only if a key in `trusted` (by key id) signed it.

    Stricter than DSSE asks: the file must be byte for byte what `seal` writes for its content, with one signature, by the
    trusted key that its `keyid` names, so that no byte of an accepted file can be changed.

    Raises:
        TrustError: malformed, of another payload type, signed by nobody trusted, or with a signature that fails.
    """
    content = _parse(envelope)
    if content["payloadType"] != payload_type:
        raise TrustError(f"is of payload type {content['payloadType']!r}, not {payload_type!r}")
    body = _decode(content["payload"])
    (signature,) = content["signatures"]
    key = trusted.get(signature["keyid"])
    if key is None:
        shown = signature["keyid"][:16]
        raise TrustError(f"is signed by key {shown!r}..., which is not trusted (give --trust its .pub file)")
    signed = _decode(signature["sig"])
    if not (_is_canonical(key, signed) and is_signed_by(key, signed, pae(payload_type, body))):
        raise TrustError(f"has a signature of key {signature['keyid'][:16]}... that does not hold: it was changed")
    return Opened(payload=body, key_id=signature["keyid"])


def _is_canonical(key: PublicKey, signature: bytes) -> bool:
    try:
        return canonical(key, signature) == signature
    except ValueError:
        return False


def _parse(envelope: bytes) -> Any:
    try:
        content = json.loads(envelope.decode())
    except (ValueError, RecursionError):
        raise TrustError("is not a signing envelope (DSSE)") from None
    if not _well_formed(content) or _file(content) != envelope:
        raise TrustError("is not a signing envelope (DSSE) as `ssd gate --sign` writes it: it was changed")
    return content


def _well_formed(content: Any) -> bool:
    if not isinstance(content, dict) or content.keys() != {"payload", "payloadType", "signatures"}:
        return False
    signatures = content["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        return False
    (signature,) = signatures
    if not isinstance(signature, dict) or signature.keys() != {"keyid", "sig"}:
        return False
    texts = [content["payload"], content["payloadType"], *signature.values()]
    return all(isinstance(text, str) and text.isascii() for text in texts)


def _file(content: Mapping[str, Any]) -> bytes:
    return dumps(content).encode() + b"\n"


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise TrustError("holds text that is not base64: it was changed") from None
    if _encode(data) != text:  # unused trailing bits: another spelling of the same bytes
        raise TrustError("holds base64 that is not canonical: it was changed")
    return data
