"""What gates, verdicts and calibration say to a reader: whole, short, and with the cause."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.evidence.markdown import summary
from ssd_plugin.gating.paired import compare, conclude
from ssd_plugin.gating.verdict import GateResult, GateStatus, JudgedGate, Tier
from ssd_plugin.report.gating import print_verdict

LONG = "; ".join(f"pass@1 in domain {n} 0.500 -> 0.100" for n in range(40))


def judged(name: str, status: GateStatus, reason: str) -> JudgedGate:
    return JudgedGate(
        result=GateResult(gate=name, status=status, reason=reason), tier=Tier.CRITICAL, required=True, seconds=1.0
    )


@pytest.fixture
def refused(factory: Any) -> Any:
    gates = (
        judged("correctness", GateStatus.BREACH, LONG),
        judged("lint", GateStatus.PASS, "fine"),
        judged("domain_shift", GateStatus.BREACH, LONG),
    )
    return factory.verdict(*gates)


def test_verbose_and_the_page_have_the_gates_whole_reasons(
    refused: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_verdict(refused, Path("out"), verbose=True)
    said = capsys.readouterr().out
    assert "NO-GO by policy default: 2 of 3 gates breached\n" in said
    assert "more characters" not in said
    assert said.count("in domain 39") == 2
    page = summary(refused, left_out=0, signed=False)
    assert "more characters" not in page


def test_an_error_says_its_reason_on_stderr(factory: Any, capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(factory.verdict(judged("integrity", GateStatus.ERROR, "reference t0 fails")), Path("out"))
    said = capsys.readouterr()
    assert said.err == "ssd: ERROR by policy default: integrity (critical) error: reference t0 fails\n"


def test_a_run_that_spent_no_look_says_so(factory: Any, capsys: pytest.CaptureFixture[str], refused: Any) -> None:
    unspent = replace(refused, looks=replace(refused.looks, look=0))
    print_verdict(unspent, Path("out"))
    assert "no look was spent" in capsys.readouterr().out
    assert "no look was spent" in summary(unspent, left_out=0, signed=False)
    assert "look 1 of 2" in summary(refused, left_out=0, signed=False)


def test_a_baseline_below_the_margin_is_named_as_the_cause() -> None:
    before, after = {"a": 0.0, "b": 0.1, "c": 0.1}, {"a": 0.1, "b": 0.0, "c": 0.1}
    figure = compare("pass@1", before, after, margin=0.1, alpha=0.025)
    assert figure.status is GateStatus.INSUFFICIENT
    alone, twice = conclude("g", [figure]).reason, conclude("g", [figure, figure]).reason
    assert alone.endswith(
        "margin 0.1); the baseline is not above the margin, so no loss could show; set a smaller margin or give easier tasks"
    )
    assert twice.count("the baseline is not above the margin in 2 of them, so no loss could show") == 1
    many = conclude("g", [figure] * 4)
    assert many.reason.startswith("4 figures that tell nothing, first pass@1 ")
    assert many.reason.count("pass@1") == 1
    assert len(many.measurements) == 4
    for other in (
        compare("pass@1", {"a": 0.9, "b": 0.8}, {"a": 0.2, "b": 0.9}, margin=0.1, alpha=0.025),
        compare("defects", before, after, margin=0.1, alpha=0.025, less_is_better=True),
    ):
        assert other.status is GateStatus.INSUFFICIENT
        assert conclude("g", [other]).reason.endswith("margin 0.1)"), "another cause"
