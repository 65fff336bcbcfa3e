"""A verdict fits on a screen of 24 lines and 80 columns, whatever is in it, and says what decided it."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from finished_run import build_run
from rich.cells import cell_len, chop_cells

from ssd_plugin.core import run_layout as layout
from ssd_plugin.gating.highlights import deciding, key_figure, room
from ssd_plugin.gating.verdict import (
    GateResult,
    GateStatus,
    JudgedGate,
    Looks,
    Measurement,
    Outcome,
    PolicyRef,
    PowerRow,
    Tier,
    Verdict,
    decide,
    write_verdict,
)
from ssd_plugin.report.gating import print_power, print_verdict
from ssd_plugin.report.terminal import print_table

HOSTILE = "名前\x1b[2J[red]" * 12


def figure(
    name: str = "pass@1", low: float = -0.02, high: float = 0.03, margin: float | None = 0.1, *, less: bool = False,
    status: GateStatus = GateStatus.PASS,
) -> Measurement:  # fmt: skip
    return Measurement(
        name=name, unit="share of samples", baseline=0.5, candidate=0.5, delta=(low + high) / 2, low=low, high=high,
        margin=margin, tasks=200, status=status, less_is_better=less,
    )  # fmt: skip


def gate(
    name: str,
    status: GateStatus = GateStatus.PASS,
    *figures: Measurement,
    tier: Tier = Tier.CRITICAL,
    reason: str = "fine",
) -> JudgedGate:
    result = GateResult(gate=name, status=status, reason=reason, measurements=figures)
    return JudgedGate(result=result, tier=tier, required=tier is not Tier.ADVISORY)


def verdict(*gates: JudgedGate, name: str = "default") -> Verdict:
    created = "2026-11-30T00:00:00+00:00"
    outcome, reason = decide(gates, Verdict.judged_on.fget(type("At", (), {"created": created})))  # type: ignore[attr-defined]
    return Verdict(
        outcome=outcome, reason=reason, promotable=False, policy=PolicyRef(name=name, sha256="0" * 64), gates=gates,
        subjects=(), tools=(), sandbox="namespaces", power=(),
        looks=Looks(look=1, allowed=2, reruns=3, alpha=0.025), created=created, expires=created,
    )  # fmt: skip


def test_room_is_what_the_interval_leaves_of_the_margin() -> None:
    assert room(figure(low=-0.025)) == pytest.approx(0.75)
    assert room(figure(low=-0.3)) == pytest.approx(-2)
    assert room(figure(low=-0.9, high=0.05, less=True)) == pytest.approx(0.5)
    assert room(figure(margin=None)) == room(figure(margin=0.0)) == float("inf")


def test_the_figure_that_leaves_the_least_room_stands_for_the_gate() -> None:
    wide = figure("wide", low=-0.09)
    assert key_figure(gate("g", GateStatus.PASS, figure("narrow"), wide)) is wide
    breach = figure("breach", low=-0.15, status=GateStatus.BREACH)
    worse_but_open = figure("open", low=-0.4, status=GateStatus.INSUFFICIENT)
    assert key_figure(gate("g", GateStatus.BREACH, figure(), worse_but_open, breach)) is breach
    assert key_figure(gate("g", GateStatus.ERROR, figure())) is None
    assert key_figure(gate("g", GateStatus.PASS, replace(figure(), low=None, high=None))) is None


def names(found: list[JudgedGate]) -> list[str]:
    return [one.result.gate for one in found]


def test_the_gates_that_decided_come_gravest_first() -> None:
    breach = GateStatus.BREACH
    judged = verdict(
        gate("shift", breach, figure(low=-0.9, status=breach), tier=Tier.SUPPORTING),
        gate("fine", GateStatus.PASS, figure()),
        gate("mild", breach, figure(low=-0.2, status=breach)),
        gate("bad", breach, figure(low=-0.8, status=breach)),
        gate("artifact", breach, reason="a pickle"),
        gate("open", GateStatus.INSUFFICIENT),
    )
    assert judged.outcome is Outcome.NO_GO
    assert names(deciding(judged)) == ["artifact", "bad", "mild", "shift"]


def test_a_go_was_decided_by_the_critical_gates_that_came_nearest() -> None:
    judged = verdict(
        gate("integrity"),
        gate("roomy", GateStatus.PASS, figure(low=-0.01)),
        gate("near", GateStatus.PASS, figure(low=-0.099)),
        gate("lint", GateStatus.PASS, figure(low=-0.0999), tier=Tier.SUPPORTING),
    )
    assert judged.outcome is Outcome.GO
    assert names(deciding(judged)) == ["near", "roomy", "integrity"]


def worst_case(outcome: Outcome) -> Verdict:
    """Every status beside the deciding ones, long names in wide characters, long reasons, many figures."""
    status = {
        Outcome.GO: GateStatus.PASS, Outcome.NO_GO: GateStatus.BREACH,
        Outcome.INCONCLUSIVE: GateStatus.INSUFFICIENT, Outcome.ERROR: GateStatus.ERROR,
    }[outcome]  # fmt: skip
    figures = [figure(f"{HOSTILE}{n}", low=-0.09, status=status) for n in range(9)]
    deciders = [gate(f"{n}{HOSTILE}", status, *figures, reason=HOSTILE * 9) for n in range(9)]
    others = [
        gate(f"{kind}{n}{HOSTILE}", kind, tier=Tier.ADVISORY, reason=HOSTILE)
        for kind, n in itertools.product(GateStatus, range(4))
    ]
    return verdict(*deciders, *others, name=HOSTILE)


POWER = [
    PowerRow(gate=HOSTILE, measure="pass@1", tasks=9, samples=1, margin=0.1, power=0.1, tasks_needed=99, detectable=0.5)
] * 6


def require_one_screen(said: str) -> None:
    lines = said.splitlines()
    assert len(lines) <= 23, "the prompt takes the last line"
    assert max(map(cell_len, lines)) <= 80
    assert "\x1b" not in said


@pytest.mark.parametrize("outcome", Outcome)
def test_a_gate_run_takes_one_screen_at_worst(
    outcome: Outcome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    judged = worst_case(outcome)
    assert judged.outcome is outcome
    print_power(POWER, verbose=False)
    print_verdict(judged, Path("verdict"))
    said = capsys.readouterr()
    require_one_screen(said.out + "\n".join(chop_cells(said.err.strip(), 80)))
    assert outcome.value in said.out + said.err


@pytest.mark.parametrize("outcome", Outcome)
def test_the_end_of_a_run_takes_one_screen_at_worst(
    outcome: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = build_run(tmp_path / "run", tasks=8, samples=5)
    write_verdict(run / layout.VERDICT, worst_case(outcome))
    monkeypatch.chdir(tmp_path)
    print_table(Path("run"))
    said = capsys.readouterr()
    require_one_screen(said.out + "\n".join(chop_cells(said.err.strip(), 80)))
    assert "SSD - base at its best decode" in said.out
    assert "report: run/report/index.html" in said.out


def test_verbose_says_every_gate_s_whole_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    reason = "; ".join(f"pass@1 in domain {n} 0.500 -> 0.100" for n in range(40))
    judged = verdict(gate("correctness"), gate("lint", GateStatus.BREACH, tier=Tier.ADVISORY, reason=reason))
    print_verdict(judged, Path("out"))
    assert "in domain 39" not in capsys.readouterr().out
    print_verdict(judged, Path("out"), verbose=True)
    assert "in domain 39" in capsys.readouterr().out


def test_what_decided_is_shown_with_its_interval(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    breach = GateStatus.BREACH
    judged = verdict(
        gate("correctness", breach, figure("pass@1", -0.48, -0.19, status=breach)),
        gate("lint", breach, figure("lint errors", 0.2, 0.3, less=True, status=breach), tier=Tier.SUPPORTING),
        gate("imports"),
    )
    print_verdict(judged, Path("out"))
    said = capsys.readouterr().out.splitlines()
    assert said[:6] == [
        "NO-GO by policy default: 2 of 3 gates breached",
        "  correctness (critical) breach",
        "    pass@1 0.500 -> 0.500 (-0.335 [-0.480, -0.190], margin 0.1)",
        "  lint (supporting) breach",
        "    lint errors 0.500 -> 0.500 (+0.250 [+0.200, +0.300], margin 0.1)",
        "  1 pass: imports",
    ]
