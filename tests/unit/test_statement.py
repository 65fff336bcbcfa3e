"""A signed statement of any shape is read or refused in one line."""

import json
from typing import Any

import pytest

from ssd_plugin.errors import TrustError
from ssd_plugin.trust.statement import PREDICATE_TYPE, STATEMENT_TYPE, evidence_digests

SHA = "0" * 64


@pytest.mark.parametrize(
    "subject",
    [
        [{"name": 1.5, "digest": {"sha256": SHA}}], [{"name": None, "digest": {"sha256": SHA}}],
        [{"name": [], "digest": {"sha256": SHA}}], [{"name": "evidence/a", "digest": {"sha256": "x"}}],
        [{"name": "evidence/a", "digest": {"sha256": 5}}], [{"name": "evidence/a", "digest": []}],
        [{"name": "evidence/a\0", "digest": {"sha256": SHA}}], [{"name": "evidence/\ud800", "digest": {"sha256": SHA}}],
        None, 5, "text", [None], [[]], {"a": 1},
    ],
)  # fmt: skip
def test_a_malformed_subject_is_refused(subject: Any) -> None:
    content = {"_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE, "subject": subject}
    with pytest.raises(TrustError):
        evidence_digests(json.dumps(content).encode())
