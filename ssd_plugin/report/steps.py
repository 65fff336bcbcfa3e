"""The steps of training as the log has them, and the curves of a method that learns from rollouts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from ssd_plugin.core.jsonl import JsonObject, read_jsonl
from ssd_plugin.report.charts import Series, line_chart
from ssd_plugin.report.numbers import finite

ALWAYS = ("step", "loss", "lr", "grad_norm", "tokens", "seconds")
OF_ROLLOUTS = {
    "reward": ("Reward", "mean over the batch"),
    "entropy": ("Entropy of the next token", "nats per token"),
    "length": ("Length of completions", "tokens"),
    "taught": ("Routed to the teacher", "share of rollouts"),
    "silent_groups": ("Groups without a signal", "share of groups"),
    "gap": ("Sampler against trainer", "nats per token"),
}
"""By its key in the log: title and unit of a curve. A step may lack any of them."""
MOST_POINTS = 300


def read_steps(log: Path) -> list[JsonObject]:
    """The steps of a training log.

    Raises:
        DataError, KeyError, ValueError, TypeError: it is damaged, or holds no step.
    """
    rows = [
        {key: finite(row[key]) for key in ALWAYS}
        | {key: finite(row[key]) for key in OF_ROLLOUTS if row.get(key) is not None}
        for _, row in read_jsonl(log)
    ]
    if not rows:
        raise ValueError("the log holds no step")
    return rows


def rollout_charts(steps: Sequence[Mapping[str, float]]) -> list[Markup]:
    """One curve per key of `OF_ROLLOUTS` that any step has; none for SSD. A long log is thinned."""
    charts = []
    for key, (title, unit) in OF_ROLLOUTS.items():
        points = [(step["step"], step[key]) for step in steps if key in step]
        shown = points[:: max(1, len(points) // MOST_POINTS)]
        series = [Series(label=title.lower(), points=shown, colour=2)] if shown else []
        charts += [line_chart(series, title=title, x_label="batch", y_label=unit)] if series else []
    return charts
