"""When a run that learns from rollouts stops by itself."""

import re
from typing import Any

import pytest

from ssd_plugin.config.methods import GuardConfig
from ssd_plugin.pipeline.stop_rules import why_to_stop

GOOD = {"updated": True, "gap": 0.01, "entropy": 0.5, "length": 100.0, "repeats": 0.1}


def log(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [GOOD, *(GOOD | change for change in changes)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([{"gap": 0.2}], r"disagree by 0\.200 nats .* engine\.dtype=float32"),
        ([{"entropy": 0.005}], r"the entropy fell to 0\.0050"),
        ([{"length": 19.0}], "shrank from 100 to 19 tokens"),
        ([{"repeats": 0.97}], "97% of the answers are copies"),
        ([{"updated": False, "gap": None, "entropy": None}] * 3, "nothing could be learnt from 3 batches in a row"),
    ],
)
def test_each_sign_of_a_collapse_stops_the_run_and_says_what_to_do(changes: list[dict[str, Any]], said: str) -> None:
    guard = GuardConfig(batches_without_signal=3)
    assert re.search(said, why_to_stop(log(*changes), guard))
    assert why_to_stop(log(*changes, {}), guard) == "", "the last batch decides"


@pytest.mark.parametrize(
    "changes",
    [[], [{"updated": False, "gap": None, "entropy": None}] * 2, [{"gap": 0.1, "entropy": 0.01, "length": 20.0}]],
)
def test_what_is_within_the_guards_goes_on(changes: list[dict[str, Any]]) -> None:
    assert why_to_stop(log(*changes), GuardConfig(batches_without_signal=3)) == ""
