"""The picture of a verdict: well-formed, self-contained, true to its numbers, whatever a model wrote."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssd_plugin.evidence.markdown import summary
from ssd_plugin.evidence.picture import picture
from ssd_plugin.gating.verdict import GateResult, GateStatus, JudgedGate, Measurement, Outcome, Tier, Verdict

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "style", "rect", "text", "line", "circle", "path", "g"}
TEXT = st.one_of(
    st.just("\x1b[31m ]]> <script>alert(1)</script> \u202e\ud800\x00\ufffe \" onload='x' &amp; http://evil.example"),
    st.text(st.characters(exclude_categories=()), max_size=60),
)
NUMBER = st.one_of(st.none(), st.floats(-1e3, 1e3))
FIGURES = st.builds(
    Measurement, name=TEXT, unit=TEXT, baseline=NUMBER, candidate=NUMBER, delta=NUMBER, low=NUMBER, high=NUMBER,
    margin=st.one_of(st.none(), st.floats(0, 1)), tasks=st.integers(0, 99), status=st.sampled_from(GateStatus),
    less_is_better=st.booleans(),
)  # fmt: skip
GATES = st.builds(
    JudgedGate, tier=st.sampled_from(Tier), required=st.booleans(),
    result=st.builds(
        GateResult, gate=TEXT, status=st.sampled_from(GateStatus), reason=TEXT,
        measurements=st.lists(FIGURES, max_size=3).map(tuple),
    ),
)  # fmt: skip


def judged(
    name: str, status: GateStatus, *spans: tuple[float, float], less: bool = False, tier: Tier = Tier.CRITICAL
) -> Any:
    figures = tuple(
        Measurement(
            name="pass@1", unit="share", baseline=0.5, candidate=0.5, delta=(low + high) / 2, low=low, high=high,
            margin=0.1, tasks=60, status=status, less_is_better=less,
        )
        for low, high in spans
    )  # fmt: skip
    result = GateResult(gate=name, status=status, reason=f"{name} says so", measurements=figures)
    return JudgedGate(result=result, tier=tier, required=True)


def parse(verdict: Verdict) -> ET.Element:
    return ET.fromstring(picture(verdict))


def lines(root: ET.Element, kind: str) -> list[tuple[float, float]]:
    found = [line for line in root.iter(f"{SVG}line") if line.get("class", "").split()[0] == kind]
    return [(float(line.get("x1", "")), float(line.get("x2", ""))) for line in found]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gates=st.lists(GATES, min_size=1, max_size=4))
def test_any_verdict_makes_a_file_that_runs_and_loads_nothing(gates: list[JudgedGate], factory: Any) -> None:
    root = parse(factory.verdict(*gates))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= DRAWN
    for element in root.iter():
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name or name == "style"]
    (style,) = root.iter(f"{SVG}style")
    assert not re.search(r"url|@import|expression", style.text or "")
    bottom = float(root.get("height", "0"))
    assert all(0 <= float(text.get("y", "-1")) <= bottom for text in root.iter(f"{SVG}text"))


def test_no_gate_at_all_says_why(factory: Any) -> None:
    refused = replace(factory.verdict(), gates=(), outcome=Outcome.ERROR, reason="candidate.jsonl: <no> samples")
    root = parse(refused)
    assert "candidate.jsonl: <no> samples" in "".join(root.itertext())
    assert [text.text for text in root.iter(f"{SVG}text") if "word" in text.get("class", "")] == ["ERROR"]


def test_an_interval_lies_where_its_numbers_are(factory: Any) -> None:
    """Margin 0.1: a loss of 0.05 to 0.15 is centred on the margin's line, whichever way the figure counts."""
    fall = judged("correctness", GateStatus.INSUFFICIENT, (-0.15, -0.05))
    rise = judged("lint", GateStatus.INSUFFICIENT, (0.05, 0.15), less=True)
    root = parse(factory.verdict(fall, rise))
    margins, zeros, intervals = (lines(root, kind) for kind in ("margin", "zero", "interval"))
    assert intervals[0] == intervals[1]
    low, high = intervals[0]
    assert margins[0][0] == pytest.approx((low + high) / 2, abs=0.02)
    assert high < zeros[0][0]
    one_margin = zeros[0][0] - margins[0][0]
    assert high - low == pytest.approx(one_margin, abs=0.02)
    assert len(list(root.iter(f"{SVG}path"))) == 0


def test_an_interval_beyond_the_plot_ends_in_an_arrow(factory: Any) -> None:
    root = parse(factory.verdict(judged("correctness", GateStatus.BREACH, (-0.9, -0.3))))
    (path,) = root.iter(f"{SVG}path")
    ((low, high),) = lines(root, "interval")
    assert low < high < lines(root, "margin")[0][0]
    assert float(path.get("d", "").removeprefix("M").split(",")[0]) < low


def test_what_decided_stands_first_and_nothing_is_left_out(factory: Any) -> None:
    gates = (
        judged("lint", GateStatus.PASS, (-0.01, 0.01), tier=Tier.SUPPORTING),
        judged("imports", GateStatus.PASS, (-0.02, 0.02)),
        judged("correctness", GateStatus.BREACH, (-0.4, -0.2)),
    )
    root = parse(factory.verdict(*gates))
    shown = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "name"]
    assert shown == ["correctness", "lint", "imports"]
    said = "".join(root.itertext())
    assert "NO-GO" in said
    assert "-0.300 [-0.400, -0.200]" in said
    assert "margin 0.1, share" in said


def test_the_page_shows_the_picture(factory: Any) -> None:
    page = summary(factory.verdict(judged("correctness", GateStatus.PASS, (-0.01, 0.01))), 0, signed=False)
    assert "](summary.svg)" in page
