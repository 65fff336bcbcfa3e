"""The report's charts, drawn from its document; a part that is missing gives no chart."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ssd_plugin.report.charts import IntervalRow, Series, bar_chart, interval_chart, line_chart, percent
from ssd_plugin.report.sweep_page import truncation_text

COLOURS = {"base": 0, "base_best": 1, "candidate": 2}


def points(value: float) -> str:
    """A difference of rates in percentage points, for ticks."""
    return f"{100 * value:+.3g}" if value else "0"


def gate_charts(verdict: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """One forest plot a unit: every measured delta with its interval and, dashed, the margin on the side where a loss lies."""
    rows: dict[str, list[IntervalRow]] = {}
    for gate in verdict["gates"]:
        for figure in gate["result"]["measurements"]:
            if None in (figure["delta"], figure["low"], figure["high"]):
                continue
            sign = 1 if figure["less_is_better"] else -1
            row = IntervalRow(
                label=f"{gate['result']['gate']}: {figure['name']}",
                estimate=figure["delta"],
                low=figure["low"],
                high=figure["high"],
                margin=None if figure["margin"] is None else sign * figure["margin"],
                tone=figure["status"],
            )
            rows.setdefault(figure["unit"], []).append(row)
    return [
        (
            unit,
            interval_chart(group, title=f"Gates, {unit}", x_label=f"candidate minus baseline: {unit}", x_text=_plain),
        )
        for unit, group in rows.items()
    ]


def _plain(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def curves_chart(held_out: Mapping[str, Any]) -> Markup:
    """pass@k of the three sides, with 95 % bands."""
    series = [
        Series(
            label=side["label"],
            points=[(point["k"], point["estimate"]) for point in side["points"]],
            band=[(point["k"], point["low"], point["high"]) for point in side["points"]],
            colour=COLOURS[side["side"]],
        )
        for side in held_out["curves"]
        if len(side["points"]) > 1
    ]
    return line_chart(series, title="pass@k on the held-out split", x_label="k", y_label="pass@k", y_text=percent)


def select_charts(selection: Mapping[str, Any], candidate: str) -> list[Markup]:
    """The development split's sweep, one chart a truncation: the base's decode-only control beside the candidate."""
    charts = []
    for top_k, top_p in dict.fromkeys((cell["top_k"], cell["top_p"]) for cell in selection["grid"]):
        series = []
        for is_base, label, colour in ((True, "base", 1), (False, candidate, 2)):
            cells = [
                cell
                for cell in selection["grid"]
                if (cell["side"] == "base", cell["top_k"], cell["top_p"]) == (is_base, top_k, top_p)
            ]
            cells.sort(key=lambda cell: cell["temperature"])
            series.append(
                Series(
                    label=label,
                    points=[(cell["temperature"], cell["pass_at_1"]) for cell in cells],
                    band=[(cell["temperature"], cell["low"], cell["high"]) for cell in cells],
                    colour=colour,
                )
            )
        title = f"Decode sweep on the development split, {truncation_text({'top_k': top_k, 'top_p': top_p})}"
        charts.append(line_chart(series, title=title, x_label="decoding temperature", y_label="pass@1", y_text=percent))
    return charts


def chain_chart(chain: Mapping[str, Any]) -> Markup:
    """pass@1 of each generation on both splits; generation 0 is the base model."""
    series = [
        Series(
            label=label,
            points=[(row["generation"], row[key]["estimate"]) for row in chain["generations"]],
            band=[(row["generation"], row[key]["low"], row[key]["high"]) for row in chain["generations"]],
            colour=colour,
        )
        for key, label, colour in (("development", "development split", 1), ("held_out", "held-out split", 2))
    ]
    return line_chart(series, title="The chain of generations", x_label="generation", y_label="pass@1", y_text=percent)


def group_chart(intervals: Mapping[str, Mapping[str, float]], title: str) -> Markup:
    """pass@1 deltas by group with simultaneous intervals."""
    rows = [
        IntervalRow(label=name, estimate=row["estimate"], low=row["low"], high=row["high"])
        for name, row in intervals.items()
    ]
    return interval_chart(rows, title=title, x_label="pass@1, percentage points", x_text=points)


def loss_chart(training: list[Mapping[str, float]]) -> Markup:
    """Training loss by optimizer step; a long log is thinned to 300 points."""
    step = max(1, len(training) // 300)
    shown = [(row["step"], row["loss"]) for row in training[::step]]
    return line_chart([Series(label="training loss", points=shown, colour=2)], title="Training loss", x_label="step",
                      y_label="nats per token")  # fmt: skip


def funnel_chart(funnel: Mapping[str, Any]) -> Markup:
    """Samples that each filter left."""
    left = funnel["total"]
    rows = [("sampled", float(left), str(left))]
    for row in funnel["filters"]:
        left -= row["dropped"]
        note = f"-{row['dropped']}" if row["enabled"] else "off"
        rows.append((row["name"], float(left), f"{left} ({note})"))
    return bar_chart([*rows, ("trained on", float(funnel["kept"]), str(funnel["kept"]))], title="Filters")


def stage_chart(stages: list[Mapping[str, Any]]) -> Markup:
    """Wall-clock seconds per stage."""
    rows = [(stage["name"], stage["seconds"], f"{stage['seconds']:,.0f} s") for stage in stages]
    return bar_chart(rows, title="Seconds a stage")
