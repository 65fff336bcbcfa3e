"""The admission policy in docs/promotion.md admits what the gate says of a GO, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ssd_plugin.gating.verdict import GateStatus, Outcome
from ssd_plugin.trust.statement import PREDICATE_TYPE, statement

PAGE = (Path(__file__).parents[2] / "docs/promotion.md").read_text()
(POLICY,) = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
(AUTHORITY,) = POLICY["spec"]["authorities"]
(ATTESTATION,) = AUTHORITY["attestations"]


def test_it_enforces_and_asks_for_a_key_and_our_statement() -> None:
    assert POLICY["spec"]["mode"] == "enforce"
    assert "BEGIN PUBLIC KEY" in AUTHORITY["key"]["data"]
    assert ATTESTATION["predicateType"] == PREDICATE_TYPE
    assert f'predicateType: "{PREDICATE_TYPE}"' in ATTESTATION["policy"]["data"]
    assert f"--type {PREDICATE_TYPE} " in PAGE


def test_it_admits_a_go_and_no_other_verdict(factory: Any) -> None:
    (allowed,) = re.findall(r"^predicate: result: (.*)$", ATTESTATION["policy"]["data"], re.MULTILINE)
    admitted = {json.loads(word) for word in allowed.split(" | ")}
    seen = set()
    for status in GateStatus:
        for tier in ("critical", "supporting", "advisory"):
            verdict = factory.verdict(factory.gate(), factory.gate(status=status, tier=tier))
            result = json.loads(statement(verdict, {}))["predicate"]["result"]
            assert (result in admitted) is (verdict.outcome is Outcome.GO), (status, tier)
            seen.add(result)
    assert seen == {"PASSED", "WARNED", "FAILED"}
