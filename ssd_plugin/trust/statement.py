"""The in-toto statement that is signed: which files a verdict is about, by digest, and what it says of them.

Statement v1 (https://in-toto.io/Statement/v1) with the test-result predicate v0.1.
"""

import json
import re
from collections.abc import Mapping

from ssd_plugin.core.jsonl import JsonObject, dumps
from ssd_plugin.errors import TrustError
from ssd_plugin.gating.verdict import GateStatus, Outcome, Verdict, weigh

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
_DIGEST = re.compile(r"[0-9a-f]{64}")
EVIDENCE = "evidence/"  # leads the names of evidence files among the subjects; "model/" leads the model's


def statement(verdict: Verdict, evidence: Mapping[str, str]) -> bytes:
    """The statement's bytes. `evidence`: hex SHA-256 of every evidence file by its name, verdict.json among them.

    Subjects are those files and the candidate's; what else was read (tasks, samples, policy) is the configuration.
    """
    subjects = {EVIDENCE + name: digest for name, digest in evidence.items()}
    subjects |= {f"model/{s.path}": s.sha256 for s in verdict.subjects if s.role == "model"}
    inputs = {f"policy: {verdict.policy.name}": verdict.policy.sha256}
    inputs |= {f"{s.role}: {s.path}": s.sha256 for s in verdict.subjects if s.role != "model"}
    content = {
        "_type": STATEMENT_TYPE,
        "subject": _descriptors(subjects),
        "predicateType": PREDICATE_TYPE,
        "predicate": {**_tests(verdict), "configuration": _descriptors(inputs)},
    }
    return dumps(content).encode()


def evidence_digests(payload: bytes) -> dict[str, str]:
    """Hex SHA-256 of the evidence files that a statement's bytes name, by file name.

    Raises:
        TrustError: not a test-result statement, or one whose subjects are malformed.
    """
    try:
        content = json.loads(payload)
        if content["_type"] != STATEMENT_TYPE or content["predicateType"] != PREDICATE_TYPE:
            raise TrustError(f"holds a {content['predicateType']!r:.80} statement, not a test result")
        subjects = [(subject["name"], subject["digest"]["sha256"]) for subject in content["subject"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrustError("does not hold an in-toto test-result statement") from error
    for name, digest in subjects:
        if not isinstance(name, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise TrustError(f"names a subject {name!r:.80} that is no text with a SHA-256 in hex")
    names = {name.removeprefix(EVIDENCE): digest for name, digest in subjects if name.startswith(EVIDENCE)}
    for name in names:
        if not name.isprintable():  # a NUL or half a surrogate pair is no file's name
            raise TrustError(f"names an evidence file {name!r:.80} that cannot be one")
    return names


def _tests(verdict: Verdict) -> JsonObject:
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for gate in verdict.gates:
        if weigh(gate, verdict.judged_on) is not Outcome.GO:
            kind = "failedTests"
        else:
            kind = "passedTests" if gate.result.status is GateStatus.PASS else "warnedTests"
        tests[kind].append(gate.result.gate)
    go = "WARNED" if tests["warnedTests"] else "PASSED"
    return {"result": go if verdict.outcome is Outcome.GO else "FAILED", **tests}


def _descriptors(digests: Mapping[str, str]) -> list[JsonObject]:
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())]
