"""The charts: well-formed, escaped, true to their numbers."""

import itertools
import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from ssd_plugin.core.svg import tag, ticks
from ssd_plugin.report.charts import IntervalRow, Series, bar_chart, heat_map, interval_chart, line_chart

HOSTILE = "<script>alert(1)</script>\"'&"


def parse(chart: Markup) -> ET.Element:
    return ET.fromstring(f"<all>{chart}</all>")


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_span_the_range_in_even_steps(low: float, span: float) -> None:
    marks = ticks(low, low + span)
    steps = {round((b - a) / span, 6) for a, b in itertools.pairwise(marks)}
    assert marks[0] <= low + 1e-6 * span + 1e-9 * abs(low)
    assert marks[-1] >= low + span - 1e-6 * span - 1e-9 * abs(low)
    assert 2 <= len(marks) <= 8
    assert max(steps) - min(steps) < 1e-3 + 1e-9 * abs(low) / span


def test_text_from_outside_is_escaped_everywhere() -> None:
    row = IntervalRow(label=HOSTILE, estimate=0.0, low=-0.1, high=0.1, margin=0.03, tone="pass")
    charts = [
        line_chart(
            [Series(label=HOSTILE, points=[(0, 1), (1, 2)], colour=0)], title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE
        ),
        heat_map([HOSTILE], [HOSTILE], [[0.5]], title=HOSTILE, row_label=HOSTILE, column_label=HOSTILE),
        interval_chart([row], title=HOSTILE, x_label=HOSTILE),
        bar_chart([(HOSTILE, 1.0, HOSTILE)], title=HOSTILE),
        tag("text", HOSTILE, x=HOSTILE),
    ]
    for chart in charts:
        assert "<script" not in chart
        assert HOSTILE[:20] in "".join(parse(chart).itertext())


def test_interval_chart_places_estimate_interval_and_margin_in_order() -> None:
    row = IntervalRow(label="g", estimate=0.02, low=-0.01, high=0.05, margin=-0.03)
    drawing = parse(interval_chart([row], title="t", x_label="x"))
    at: dict[str, list[float]] = {}
    for line in drawing.iter("line"):
        at.setdefault(line.get("class", "").strip(), []).append(float(line.get("x1", "nan")))
    interval = next(line for line in drawing.iter("line") if "interval" in line.get("class", ""))
    estimate = float(next(drawing.iter("circle")).get("cx", "nan"))
    (margin,) = at["margin"]
    low, high = float(interval.get("x1", "nan")), float(interval.get("x2", "nan"))
    assert margin < low < at["zero"][0] < estimate < high


def test_line_chart_draws_one_path_a_series_and_a_band() -> None:
    both = [
        Series(label="a", points=[(1, 0.2), (2, 0.4)], band=[(1, 0.1, 0.3), (2, 0.3, 0.5)], colour=0),
        Series(label="b", points=[(1, 0.3), (2, 0.1)], colour=1),
    ]
    drawing = parse(line_chart(both, title="t", x_label="x", y_label="y"))
    assert [path.get("class") for path in drawing.iter("path")] == ["band s0", "line s0", "line s1"]
    assert len(list(drawing.iter("circle"))) == 4


def test_a_flat_line_a_single_point_and_nothing_are_drawn_without_fault() -> None:
    for points in ([(0.0, 0.5), (1.0, 0.5)], [(3.0, 0.0)]):
        chart = line_chart([Series(label="a", points=points, colour=0)], title="t", x_label="x", y_label="y")
        assert "nan" not in chart
    assert line_chart([Series(label="a", points=[], colour=0)], title="t", x_label="x", y_label="y") == ""
    assert heat_map(["r"], ["c"], [[None]], title="t", row_label="r", column_label="c") == ""
    assert interval_chart([], title="t", x_label="x") == ""
    assert bar_chart([], title="t") == ""
    assert parse(bar_chart([("none", 0.0, "0")], title="t")) is not None


def test_heat_map_shades_the_highest_cell_darkest() -> None:
    drawing = parse(heat_map(["r"], ["a", "b", "c"], [[0.1, None, 0.9]], title="t", row_label="r", column_label="c"))
    shades = [float(cell.get("fill-opacity", "nan")) for cell in drawing.iter("rect")]
    assert shades == pytest.approx([0.06, 1.0])
    assert not any(math.isnan(shade) for shade in shades)
