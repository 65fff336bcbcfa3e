"""What gates, verdicts and calibration say to a reader: whole, short, and with the cause."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssd_plugin.evidence.markdown import summary
from ssd_plugin.gating.distance import measure
from ssd_plugin.gating.paired import compare, conclude, describe
from ssd_plugin.report.gating import print_verdict
from ssd_plugin.verdict import GateResult, GateStatus, JudgedGate, Tier

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


def test_the_verdict_s_line_names_the_gates_and_their_reasons_are_whole(
    refused: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_verdict(refused, Path("out"))
    said = capsys.readouterr().out
    assert "NO-GO by policy default: correctness (critical) breach, domain_shift (critical) breach\n" in said
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


def test_the_drift_figure_shows_change_margin_and_chance(check: Any, world: Any, tools: Any) -> None:
    result = check("domain_shift", tools.make_rows(world.tasks, seed=1), tools.make_rows(world.tasks, seed=2))
    assert "the answers moved by 0." in result.reason
    assert "(chance: up to 0." in result.reason
    (figure,) = (one for one in result.measurements if one.name == "distance to human code")
    assert figure.low < figure.delta < figure.high
    said = f"({figure.delta:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}], margin {figure.margin:.3g})"
    assert said in describe(figure)


def test_the_drift_interval_is_as_wide_as_resampling_tasks_says() -> None:
    rng = np.random.default_rng(5)
    corpus = np.abs(rng.normal(size=(40, 30)))
    before = np.abs(rng.normal(size=(120, 30)))
    after = 0.8 * before + 0.3 * np.abs(rng.normal(size=(120, 30)))
    base, candidate = ({f"t{n:03d}": row for n, row in enumerate(rows)} for rows in (before, after))
    shift = measure(base, candidate, list(corpus))
    assert np.mean(shift.rises) == pytest.approx(shift.candidate - shift.baseline)
    centre, resampled = corpus.mean(axis=0), []
    for _ in range(2000):
        drawn = rng.integers(0, 120, size=120)
        lengths = [np.linalg.norm(rows[drawn].mean(axis=0) - centre) for rows in (after, before)]
        resampled.append(lengths[0] - lengths[1])
    assert np.std(shift.rises) / math.sqrt(120) == pytest.approx(np.std(resampled), rel=0.1)
    assert measure(base, base, list(corpus)).rises == (0.0,) * 120
