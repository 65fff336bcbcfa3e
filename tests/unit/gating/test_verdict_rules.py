"""No failure ever reads as GO, and no failure ever improves a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_plugin.errors import DataError
from ssd_plugin.gating.isolation import Answer, one_result
from ssd_plugin.gating.run import Bench, judge, load_bench
from ssd_plugin.gating.verdict import (
    OVERRIDE_DAYS,
    GateResult,
    GateStatus,
    JudgedGate,
    Looks,
    Measurement,
    Outcome,
    Override,
    PolicyRef,
    PowerRow,
    Subject,
    Tier,
    Tool,
    Verdict,
    decide,
    read_verdict,
    write_verdict,
)

TODAY = date(2027, 1, 15)
WORSE = (GateStatus.PASS, GateStatus.INSUFFICIENT, GateStatus.BREACH, GateStatus.ERROR)
RANK = (Outcome.GO, Outcome.INCONCLUSIVE, Outcome.NO_GO, Outcome.ERROR)


def gate(status: GateStatus, tier: Tier = Tier.CRITICAL, name: str = "g", expires: date | None = None) -> JudgedGate:
    return JudgedGate(
        result=GateResult(gate=name, status=status, reason="because"),
        tier=tier,
        required=tier is not Tier.ADVISORY,
        override=Override(gate=name, reason="accepted", expires=expires) if expires else None,
    )


@pytest.mark.parametrize(
    ("gates", "outcome"),
    [
        ([], Outcome.ERROR),
        ([gate(GateStatus.PASS)], Outcome.GO),
        ([gate(GateStatus.PASS, Tier.SUPPORTING)], Outcome.ERROR),
        ([gate(GateStatus.PASS), gate(GateStatus.INSUFFICIENT)], Outcome.INCONCLUSIVE),
        ([gate(GateStatus.PASS), gate(GateStatus.BREACH)], Outcome.NO_GO),
        ([gate(GateStatus.BREACH), gate(GateStatus.INSUFFICIENT)], Outcome.NO_GO),
        ([gate(GateStatus.BREACH), gate(GateStatus.ERROR)], Outcome.ERROR),
        ([gate(GateStatus.PASS), gate(GateStatus.MISSING, Tier.SUPPORTING)], Outcome.ERROR),
        ([gate(GateStatus.PASS), gate(GateStatus.BREACH, Tier.SUPPORTING)], Outcome.NO_GO),
        ([gate(GateStatus.PASS), gate(GateStatus.INSUFFICIENT, Tier.SUPPORTING)], Outcome.GO),
        ([gate(GateStatus.PASS), gate(GateStatus.BREACH, Tier.ADVISORY)], Outcome.GO),
        ([gate(GateStatus.PASS), gate(GateStatus.ERROR, Tier.ADVISORY)], Outcome.GO),
        ([gate(GateStatus.PASS), gate(GateStatus.BREACH, expires=date(2027, 1, 15))], Outcome.GO),
        ([gate(GateStatus.PASS), gate(GateStatus.PASS, expires=date(2027, 1, 14))], Outcome.ERROR),
        ([gate(GateStatus.PASS), gate(GateStatus.ERROR, expires=date(2027, 2, 1))], Outcome.ERROR),
        ([gate(GateStatus.PASS, expires=date(2027, 2, 1))], Outcome.ERROR),
    ],
)
def test_decision_table(gates: list[JudgedGate], outcome: Outcome) -> None:
    assert decide(gates, TODAY)[0] is outcome


def test_exit_codes_are_the_documented_ones() -> None:
    assert [(o.value, o.exit_code) for o in Outcome] == [("GO", 0), ("NO-GO", 1), ("INCONCLUSIVE", 2), ("ERROR", 3)]


judged_gates = st.lists(
    st.builds(
        gate,
        st.sampled_from([*WORSE, GateStatus.MISSING]),
        st.sampled_from(list(Tier)),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([None, date(2027, 1, 14), date(2027, 2, 1)]),
    ),
    min_size=1,
    max_size=8,
)


@given(judged_gates, st.data())
def test_a_worse_gate_never_improves_the_verdict(gates: list[JudgedGate], data: st.DataObject) -> None:
    before = RANK.index(decide(gates, TODAY)[0])
    index = data.draw(st.integers(0, len(gates) - 1))
    old = gates[index].result.status
    worse = [*WORSE, GateStatus.MISSING][max(0, WORSE.index(old) if old in WORSE else 4) :]
    status = data.draw(st.sampled_from(worse))
    changed = replace(gates[index], result=replace(gates[index].result, status=status))
    after = RANK.index(decide([*gates[:index], changed, *gates[index + 1 :]], TODAY)[0])
    assert after >= before


@pytest.fixture(scope="module")
def bench() -> Bench:
    return load_bench("default")


@settings(max_examples=60, deadline=None)
@given(statuses=st.lists(st.sampled_from(WORSE), min_size=13, max_size=13), removed=st.integers(0, 12))
def test_removing_a_required_result_never_improves_the_verdict(
    bench: Bench, statuses: list[GateStatus], removed: int
) -> None:
    names = list(bench.policy.gates)
    results = {
        name: GateResult(gate=name, status=status, reason="r") for name, status in zip(names, statuses, strict=False)
    }
    before = decide(judge(bench, results, {}), TODAY)[0]
    gone = names[removed % len(names)]
    after, reason = decide(judge(bench, {n: r for n, r in results.items() if n != gone}, {}), TODAY)
    assert RANK.index(after) >= RANK.index(before)
    assert after is not Outcome.GO
    assert gone in reason


def figure(status: GateStatus = GateStatus.PASS, tasks: int = 5) -> Measurement:
    return Measurement(
        name="m",
        unit="u",
        baseline=0.1,
        candidate=0.1,
        delta=0.0,
        low=-0.1,
        high=0.1,
        margin=0.2,
        tasks=tasks,
        status=status,
    )


def passing(**changes: Any) -> GateResult:
    return replace(GateResult(gate="g", status=GateStatus.PASS, reason="fine", measurements=(figure(),)), **changes)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(results=(), failure="ValueError: x", seconds=0), "ValueError: x"),
        (Answer(results=(passing(), passing()), failure="", seconds=0), "2 results"),
        (Answer(results=(passing(gate="other"),), failure="", seconds=0), "another gate"),
        (Answer(results=(passing(reason=" "),), failure="", seconds=0), "without a reason"),
        (Answer(results=(passing(status=GateStatus.MISSING),), failure="", seconds=0), "missing"),
        (Answer(results=(passing(measurements=()),), failure="", seconds=0), "without a figure"),
        (Answer(results=(passing(measurements=(figure(tasks=0),)),), failure="", seconds=0), "without a figure"),
        (Answer(results=(passing(measurements=(figure(GateStatus.BREACH),)),), failure="", seconds=0), "did not"),
    ],
)
def test_a_pass_has_to_be_earned(answer: Answer, why: str) -> None:
    result = one_result("g", answer, paired=True)
    assert result.status is GateStatus.ERROR
    assert why in result.reason


def test_an_earned_pass_is_a_pass() -> None:
    assert one_result("g", Answer(results=(passing(),), failure="", seconds=0), paired=True) == passing()


def example_verdict(gates: Sequence[JudgedGate]) -> Verdict:
    return Verdict(
        outcome=decide(gates, TODAY)[0],
        reason="r \udc80 é",
        promotable=True,
        policy=PolicyRef(name="p", sha256="0" * 64),
        gates=tuple(gates),
        subjects=(Subject(role="tasks", path="../t.jsonl", sha256="1" * 64, size=3),),
        tools=(Tool(name="ruff", version="1"),),
        sandbox="namespaces",
        power=(
            PowerRow(gate="g", measure="m", tasks=3, samples=2, margin=0.1, power=0.5, tasks_needed=9, detectable=0.2),
        ),
        looks=Looks(look=1, allowed=2, reruns=0, alpha=0.025),
        created=f"{TODAY}T10:00:00+00:00",
        expires="2027-02-15T10:00:00+00:00",
    )


@given(judged_gates)
def test_verdicts_round_trip(gates: list[JudgedGate]) -> None:
    verdict = example_verdict(gates)
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_verdict_files_round_trip_even_with_half_characters(tmp_path: Path) -> None:
    verdict = example_verdict([gate(GateStatus.PASS)])
    write_verdict(tmp_path / "verdict.json", verdict)
    assert read_verdict(tmp_path / "verdict.json") == verdict


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda plain: plain | {"outcome": "GO"}, "says GO"),
        (lambda plain: plain | {"schema": "ssd-verdict/3"}, "schema"),
        (lambda plain: plain | {"extra": 1}, "extra is not a known key"),
        (lambda plain: {k: v for k, v in plain.items() if k != "looks"}, "looks is missing"),
        (lambda plain: plain | {"promotable": "yes"}, "promotable"),
        (lambda plain: plain | {"created": "yesterday"}, "yesterday"),
        (lambda plain: [], "schema is None"),
    ],
)
def test_a_verdict_that_was_edited_is_refused(change: Callable[[Any], Any], why: str) -> None:
    plain = example_verdict([gate(GateStatus.BREACH)]).to_json()
    with pytest.raises(DataError, match=why):
        Verdict.from_json(change(plain))


def test_severity_order_is_total() -> None:
    outcomes = [decide([gate(GateStatus.PASS, name="x"), gate(status)], TODAY)[0] for status in WORSE]
    assert all(RANK.index(a) <= RANK.index(b) for a, b in pairwise(outcomes))


@pytest.mark.parametrize(("days", "outcome"), [(OVERRIDE_DAYS, Outcome.GO), (OVERRIDE_DAYS + 1, Outcome.ERROR)])
def test_an_override_lasts_a_bounded_time(days: int, outcome: Outcome) -> None:
    today = date(2027, 1, 15)
    gates = [gate(GateStatus.PASS), gate(GateStatus.BREACH, name="lint", expires=today + timedelta(days=days))]
    assert decide(gates, today)[0] is outcome
