"""A sigstore of one's own on loopback: Fulcio (certificates), Rekor (a log of one entry) and the trust configuration that names
them. Real X.509, SCT, Merkle and checkpoint cryptography, so that the real client signs and verifies; no OIDC is checked."""

import base64
import hashlib
import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

ISSUER = "https://issuer.example"
_SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_OIDC_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_START = {"start": "2020-01-01T00:00:00Z"}


def token(identity: str) -> str:
    """An OIDC token for `identity`, as an issuer would give it for sigstore."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": identity, "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 300}
    return jwt.encode(claims, "0123456789abcdef0123456789abcdef", algorithm="HS256")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _der(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Stub:
    """The three keys, the certificate authority, and what the two services answer."""

    def __init__(self) -> None:
        self.ca_key, self.ct_key, self.log_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stub")]), datetime.now(UTC)
        self.ca = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.ca_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.ca_key.public_key()), critical=False)
            .sign(self.ca_key, hashes.SHA256())
        )

    def certificate(self, request: x509.CertificateSigningRequest, identity: str) -> x509.Certificate:
        """A certificate of ten minutes whose SCT the log key signed over the certificate without it."""
        now = datetime.now(UTC).replace(microsecond=0)
        base = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.ca.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(minutes=9))
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.UnrecognizedExtension(_OIDC_ISSUER, ISSUER.encode()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key()), critical=False)
        )

        def signed(timestamps: bytes) -> x509.Certificate:
            return base.add_extension(x509.UnrecognizedExtension(_SCT_LIST, timestamps), critical=False).sign(
                self.ca_key, hashes.SHA256()
            )

        milliseconds = int(now.timestamp() * 1000)
        plain = signed(self._sct(b"", milliseconds)).tbs_precertificate_bytes
        issuer = hashlib.sha256(_der(self.ca_key)).digest()
        entry = issuer + len(plain).to_bytes(3, "big") + plain
        return signed(self._sct(struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0", milliseconds))

    def _sct(self, covered: bytes, milliseconds: int) -> bytes:
        signature = self.ct_key.sign(covered, ec.ECDSA(hashes.SHA256()))
        sct = struct.pack(
            "!B32sQHBBH", 0, hashlib.sha256(_der(self.ct_key)).digest(), milliseconds, 0, 4, 3, len(signature)
        )
        listed = struct.pack("!H", len(sct + signature)) + sct + signature
        content = struct.pack("!H", len(listed)) + listed
        return bytes([4, 0x81, len(content)]) + content if len(content) > 127 else bytes([4, len(content)]) + content

    def entry(self, proposed: Any) -> dict[str, Any]:
        """The log's answer to a proposed DSSE entry: a tree of this entry alone."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        payload = base64.b64decode(envelope["payload"])
        body = json.dumps(
            {
                "apiVersion": "0.0.1", "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(content["envelope"].encode()).hexdigest()},
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}],
                },
            },
            sort_keys=True, separators=(",", ":"),
        ).encode()  # fmt: skip
        log_id, root = hashlib.sha256(_der(self.log_key)).digest(), hashlib.sha256(b"\0" + body).digest()
        entry = {"body": _b64(body), "integratedTime": int(time.time()), "logID": log_id.hex(), "logIndex": 0}
        promise = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        note = f"stub - 1\n1\n{_b64(root)}\n"
        checkpoint = f"{note}\n\u2014 stub {_b64(log_id[:4] + self._log(note.encode()))}\n"
        proof = {"checkpoint": checkpoint, "hashes": [], "logIndex": 0, "rootHash": root.hex(), "treeSize": 1}
        verification = {"inclusionProof": proof, "signedEntryTimestamp": _b64(self._log(promise))}
        return {"0" * 64: entry | {"verification": verification}}

    def _log(self, message: bytes) -> bytes:
        return self.log_key.sign(message, ec.ECDSA(hashes.SHA256()))

    def config(self, url: str) -> dict[str, Any]:
        """The client trust configuration: this authority and these logs, reached at `url`."""

        def log(key: Any) -> dict[str, Any]:
            der = _der(key)
            public = {"rawBytes": _b64(der), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": _START}
            log_id = {"keyId": _b64(hashlib.sha256(der).digest())}
            return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": log_id}

        chain = [{"rawBytes": _b64(self.ca.public_bytes(serialization.Encoding.DER))}]
        service = {"url": url, "majorApiVersion": 1, "validFor": _START, "operator": "stub"}
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.log_key)],
                "ctlogs": [log(self.ct_key)],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "stub", "commonName": "stub"},
                        "uri": url,
                        "certChain": {"certificates": chain},
                        "validFor": _START,
                    }
                ],
                "timestampAuthorities": [],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service],
                "oidcUrls": [service],
                "rekorTlogUrls": [service],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [],
                "tsaConfig": {"selector": "ANY"},
            },
        }


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # type: ignore[assignment]
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


@contextmanager
def serving(folder: Path) -> Iterator[Path]:
    """Run the stub; yields the trust configuration's file in `folder`. It still verifies when the services are gone."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/v2/signingCert":
                claims = jwt.decode(self.headers["Authorization"].split()[1], options={"verify_signature": False})
                request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
                chain = [_pem(stub.certificate(request, claims["sub"])), _pem(stub.ca)]
                answer: Any = {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
            else:
                answer = stub.entry(asked)
            text = json.dumps(answer).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:  # as clients that could also ask a person who they are read it
            text = json.dumps({"authorization_endpoint": self.path, "token_endpoint": self.path}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = folder / "sigstore.json"
    path.write_text(json.dumps(stub.config(f"http://127.0.0.1:{server.server_port}")))
    try:
        yield path
    finally:
        server.shutdown()
        server.server_close()
