"""Write the evidence directory of a verdict: everything first, the signature last, so that a cut run proves nothing."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ssd_plugin.core.jsonl import JsonObject, dumps, sha256_file, write_text
from ssd_plugin.evidence.junit import junit_xml
from ssd_plugin.evidence.markdown import summary
from ssd_plugin.evidence.mlbom import mlbom
from ssd_plugin.evidence.picture import picture
from ssd_plugin.evidence.programs import ProgramKey, key_of, write_programs
from ssd_plugin.evidence.sarif import sarif_log, select
from ssd_plugin.gating.verdict import Verdict
from ssd_plugin.trust import evidence_files as files
from ssd_plugin.trust.dsse import seal
from ssd_plugin.trust.keyless import Keyless, seal_keyless
from ssd_plugin.trust.signing import load_private_key
from ssd_plugin.trust.statement import statement


def write_evidence(
    verdict: Verdict,
    *,
    out: Path,
    programs: Mapping[ProgramKey, str],
    sign_key: Path | None,
    keyless: Keyless | None = None,
) -> None:
    """Write verdict.json and all that is made from it into `out`; with `sign_key` or `keyless`, sign the whole.

    `programs`: generated programs by (side, task id, sample id); those with a finding are copied, the others ignored.
    The same verdict and programs give the same bytes.

    Raises:
        TrustError: the key cannot be used, and nothing was written; or keyless signing failed, and all but that is there.
        ResourceError: the disk is full; there is no signature then.
    """
    key = load_private_key(sign_key) if sign_key else None
    for old in (files.ENVELOPE, files.BUNDLE):
        (out / old).unlink(missing_ok=True)
    findings, left_out = select(verdict)
    copies = write_programs(out, (key_of(finding) for _, finding in findings), programs)
    log = sarif_log(findings, left_out, copies, _base(out))
    texts = {
        files.SARIF: dumps(log),  # one line: indenting 25,000 results is slow
        files.JUNIT: junit_xml(verdict),
        files.SUMMARY: summary(verdict, left_out, signed=bool(key or keyless)),
        files.PICTURE: picture(verdict),
        files.BOM: _json(mlbom(verdict)),
        files.VERDICT: _json(verdict.to_json()),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    digests |= {name: sha256_file(out / name) for name in copies.values()}
    body = statement(verdict, digests)
    write_text(out / files.STATEMENT, body.decode())
    if key:
        write_text(out / files.ENVELOPE, seal(body, key).decode())
    if keyless:
        write_text(out / files.BUNDLE, seal_keyless(body, keyless).decode())


def _json(value: JsonObject) -> str:
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n"


def _base(out: Path) -> str:
    """The evidence directory as seen from the working directory (in CI: the repository), for links to program copies."""
    here, target = Path.cwd().resolve(), out.resolve()
    return target.relative_to(here).as_posix() if target != here and target.is_relative_to(here) else ""
