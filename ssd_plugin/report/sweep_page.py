"""A sweep as one HTML page, as Markdown, and as the charts that a run's report also shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json, write_text
from ssd_plugin.core.output_tree import refuse_planted
from ssd_plugin.errors import RunDirError
from ssd_plugin.metrics.sweep_grid import SCHEMA
from ssd_plugin.report.charts import Series, heat_map, line_chart, percent
from ssd_plugin.report.render import render

FIT_POINTS = 60  # of the fitted curve: enough to look smooth
Row = Mapping[str, Any]


def truncation_text(row: Row) -> str:
    """A truncation in words."""
    parts = [f"top-k {row['top_k']:g}"] * bool(row["top_k"]) + [f"top-p {row['top_p']:g}"] * (row["top_p"] < 1)
    return ", ".join(parts) or "no truncation"


def _truncation(row: Row) -> tuple[float, float]:
    return row["top_k"], row["top_p"]


def heat_maps(document: Row) -> list[tuple[str, Markup]]:
    """A map of the development pass@1 for each pair of training and decode truncation; the first row is the base alone."""
    maps = []
    for fit in document["fits"]:
        train, decode = _truncation(fit["train"]), _truncation(fit["decode"])
        grids = {"base": [row for row in document["base"] if _truncation(row) == decode]}
        for cell in document["cells"]:
            if _truncation(cell["train"]) == train:
                grids[f"{cell['train']['temperature']:g}"] = [row for row in cell["grid"] if _truncation(row) == decode]
        columns = sorted({row["temperature"] for rows in grids.values() for row in rows})
        values = []
        for rows in grids.values():
            known = {row["temperature"]: row["pass_at_1"] for row in rows}
            values.append([known.get(column) for column in columns])
        trained, decoded = truncation_text(fit["train"]), truncation_text(fit["decode"])
        chart = heat_map(list(grids), [f"{t:g}" for t in columns], values, row_label="T_train", column_label="T_eval",
                         title=f"Development pass@1: trained with {trained}, decoded with {decoded}",
                         text=lambda value: f"{100 * value:.1f} %")  # fmt: skip
        caption = f"pass@1 in percent on the development split. Training samples: {trained}; decoding: {decoded}."
        maps.append((f"{caption} First row: the base, decoding alone.", chart))
    return maps


def fit_charts(document: Row) -> list[tuple[str, Markup]]:
    """pass@1 over T_eff with the fitted parabola, for each pair of truncations that has a fit."""
    charts = []
    for fit in (one for one in document["fits"] if not one["why_not"]):
        train, decode = _truncation(fit["train"]), _truncation(fit["decode"])
        points = sorted(
            (row["t_eff"], row["pass_at_1"]) for cell in document["cells"] if _truncation(cell["train"]) == train
            for row in cell["grid"] if _truncation(row) == decode
        )  # fmt: skip
        low, high = points[0][0], points[-1][0]
        c0, c1, c2 = fit["coefficients"]
        xs = [low + (high - low) * i / FIT_POINTS for i in range(FIT_POINTS + 1)]
        curve = Series(
            label=f"quadratic, R² {fit['r_squared']:.2f}", points=[(x, c0 + c1 * x + c2 * x * x) for x in xs], colour=1
        )
        measured = Series(label="SSD, development split", points=points, colour=2, joined=False)
        chart = line_chart([measured, curve], title=f"pass@1 over T_eff, {truncation_text(fit['train'])}, "
                           f"{truncation_text(fit['decode'])}", x_label="T_eff = T_train x T_eval", y_label="pass@1",
                           y_text=percent)  # fmt: skip
        charts.append((peak_text(fit, low, high), chart))
    return charts


def peak_text(fit: Row, low: float, high: float) -> str:
    """What the parabola says about the best product of temperatures, and what it cannot say."""
    if fit["peak"] is None:
        return "The parabola opens upwards: it has no best T_eff."
    where = "" if low <= fit["peak"] <= high else ", outside the temperatures tried, so not to be relied on"
    return f"The parabola peaks at T_eff {fit['peak']:.2f}{where}."


def write_sweep(directory: Path, document: JsonObject) -> None:
    """Write sweep.html and sweep.md beside sweep.json.

    Raises:
        ResourceError: no space left.
    """
    charts = [*heat_maps(document), *fit_charts(document)]
    write_text(
        directory / layout.SWEEP_HTML,
        render("sweep.html.j2", sweep=document, charts=charts, truncation=truncation_text),
    )
    write_text(directory / layout.SWEEP_MARKDOWN, render("sweep.md.j2", sweep=document, truncation=truncation_text))


def is_sweep(directory: Path) -> bool:
    """Whether this is a sweep's directory and not a run's."""
    return (directory / layout.CELLS).is_dir()


def rewrite_sweep(directory: Path) -> JsonObject:
    """Write a finished sweep's two pages anew from its sweep.json; returns the document.

    Raises:
        RunDirError: the sweep is not finished, or its document is damaged.
        ResourceError: no space left.
    """
    path = directory / layout.SWEEP
    if not path.exists():
        raise RunDirError(
            f"{directory}: a sweep that is not finished; continue it with: ssd sweep RECIPE --run-dir {directory}; "
            f"a cell's own report: ssd report --run-dir {directory / layout.CELLS}/NAME"
        )
    try:
        document: JsonObject = read_json(path)
        refuse_planted(directory)
        if (known := document["schema"]) == SCHEMA:
            write_sweep(directory, document)
    except (AttributeError, KeyError, TypeError, ValueError, jinja2.UndefinedError) as error:
        raise RunDirError(f"{path}: malformed ({type(error).__name__}: {error}); ssd sweep writes it anew") from error
    if known != SCHEMA:
        raise RunDirError(f"{path}: schema {known!r} is not known; ssd sweep writes it anew")
    return document
