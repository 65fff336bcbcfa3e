"""SARIF 2.1.0: every finding where code scanners look for it (OASIS standard, errata 01)."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ssd_plugin import __version__
from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.core.text import visible
from ssd_plugin.evidence.programs import ProgramKey, key_of
from ssd_plugin.gating.verdict import Finding, Verdict
from ssd_plugin.trust.evidence_files import VERDICT

MAX_RESULTS = 25_000  # what GitHub code scanning accepts in one file
MAX_RUNS = 20
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = ("error", "warning", "note")


def select(verdict: Verdict) -> tuple[list[tuple[str, Finding]], int]:
    """The (gate, finding) pairs that fit, gravest first in a stable order, and how many do not."""
    every = [(gate.result.gate, finding) for gate in verdict.gates for finding in gate.result.findings]
    every.sort(key=lambda pair: _LEVELS.index(_level(pair[1])))
    return every[:MAX_RESULTS], max(0, len(every) - MAX_RESULTS)


def sarif_log(
    findings: Sequence[tuple[str, Finding]], left_out: int, paths: Mapping[ProgramKey, str], base: str
) -> JsonObject:
    """The log: one run a tool. `paths`: each program's copy, relative to the evidence directory; `base`: that directory
    relative to the repository's root (POSIX, may be empty). What does not fit is stated in each run's notifications.
    """
    by_tool: dict[str, list[tuple[str, Finding]]] = {"ssd": []}
    for gate, finding in findings:
        by_tool.setdefault(visible(finding.tool, 80) or "ssd", []).append((gate, finding))
    names = list(by_tool)
    for name in names[MAX_RUNS:]:  # too many tools: the rest share the first run, told apart by their rule ids
        by_tool["ssd"] += by_tool.pop(name)
    runs = [_run(name, entries, left_out, paths, base) for name, entries in by_tool.items()]
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}


def _run(
    tool: str, entries: Sequence[tuple[str, Finding]], left_out: int, paths: Mapping[ProgramKey, str], base: str
) -> JsonObject:
    rules: dict[str, int] = {}
    for _, finding in entries:
        rules.setdefault(_rule(tool, finding), len(rules))
    driver: JsonObject = {"name": tool, "rules": [{"id": rule} for rule in rules]}
    if tool == "ssd":
        driver["semanticVersion"] = __version__
    invocation: JsonObject = {"executionSuccessful": True}
    if left_out:
        text = f"{left_out} findings of the lowest levels were left out of this file: it holds at most {MAX_RESULTS}."
        invocation["toolExecutionNotifications"] = [{"level": "warning", "message": {"text": text}}]
    results = [_result(tool, gate, finding, rules, paths, base) for gate, finding in entries]
    return {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "results": results,
        "columnKind": "unicodeCodePoints",
    }


def _result(
    tool: str, gate: str, finding: Finding, rules: Mapping[str, int], paths: Mapping[ProgramKey, str], base: str
) -> JsonObject:
    rule = _rule(tool, finding)
    ids = {"gate": gate, "side": finding.side, "task_id": finding.task_id, "sample_id": finding.sample_id}
    # A finding without a program (about a model file) points at the verdict: scanners refuse results without a place.
    path, line = (paths[key_of(finding)], finding.line) if key_of(finding) in paths else (VERDICT, 1)
    return {
        "ruleId": rule,
        "ruleIndex": rules[rule],
        "level": _level(finding),
        "message": {"text": _message(finding) or rule},
        "locations": [_location(f"{base}/{path}" if base else path, line)],
        "properties": {name: visible(text, 200) for name, text in ids.items() if text},
        "partialFingerprints": {"ssd/v1": _fingerprint(gate, finding)},
    }


def _location(path: str, line: int) -> JsonObject:
    artifact: dict[str, Any] = {"uri": quote(path, errors="surrogateescape"), "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(1, line)}}}


def _message(finding: Finding) -> str:
    return visible(finding.message).replace("](", "] (")  # else "[text](target)" is a link (SARIF 2.1.0, 3.11.6)


def _rule(tool: str, finding: Finding) -> str:
    rule = visible(finding.rule, 120) or "finding"
    own = visible(finding.tool, 80) or "ssd"
    return rule if own == tool else f"{own}/{rule}"


def _level(finding: Finding) -> str:
    return finding.level if finding.level in _LEVELS else "error"  # an unknown level is not made light of


def _fingerprint(gate: str, finding: Finding) -> str:
    parts = (gate, finding.tool, finding.rule, *key_of(finding), str(finding.line))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
