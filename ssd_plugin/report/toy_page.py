"""The picture page of `ssd simulate`: success over the decoding temperature, its two factors, and the training sweep."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ssd_plugin.analysis import toy
from ssd_plugin.metrics.inference import FloatArray
from ssd_plugin.report.charts import Series, heat_map, line_chart, percent
from ssd_plugin.report.render import render

SWEEP_T = (0.6, 0.8, 0.9, 1.0, 1.2, 1.6, 2.0)
SWEEP_P = (0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
_EVERY = 10  # draws a point each 0.01 of temperature


def _series(label: str, values: FloatArray, colour: int) -> Series:
    points = zip(toy.TEMPERATURES[::_EVERY], values[::_EVERY], strict=True)
    return Series(label=label, points=[(float(x), float(y)) for x, y in points if x <= 3], colour=colour)


def _charts(cells: list[toy.SweepCell]) -> list[tuple[str, Markup]]:
    base = toy.teacher()
    teacher, student = toy.curves(base), toy.curves(toy.self_distil(base, toy.T_TRAIN, toy.TRAIN_TOP_P))
    success = line_chart(
        [_series("teacher", teacher.success, 0), _series("student", student.success, 1)],
        title="Success over the decoding temperature", x_label="T_eval", y_label="P(success)", y_text=percent, from_zero=True,
    )  # fmt: skip
    factors = line_chart(
        [_series("teacher: locks right", teacher.precision, 0), _series("student: locks right", student.precision, 1),
         _series("teacher: good plan and branch", teacher.exploration, 2),
         _series("student: good plan and branch", student.exploration, 3)],
        title="Precision and exploration", x_label="T_eval", y_label="probability", y_text=percent, from_zero=True,
    )  # fmt: skip
    values = [[cell.best.success for cell in cells if cell.t_train == t] for t in SWEEP_T]
    heat = heat_map(
        [f"{t:g}" for t in SWEEP_T], [f"{p:g}" for p in SWEEP_P], values,
        title="Best success of students over T_train and top-p", row_label="T_train", column_label="top-p in training",
        text=lambda value: f"{100 * value:.1f} %",
    )  # fmt: skip
    return [
        (f"Success at top-p {toy.EVAL_TOP_P:g}; the student is sampled at T_train {toy.T_TRAIN:g}, "
         f"top-p {toy.TRAIN_TOP_P:g}.", success),
        ("Heat costs the teacher its locks long before it pays at the fork; the student's locks hold until its second "
         "token passes top-p.", factors),
        ("Each student at its own best T_eval (searched up to 4), in percent. T_train 1 with top-p 1 changes nothing: "
         "it is the teacher.", heat),
    ]  # fmt: skip


def simulate(seed: int) -> tuple[Mapping[str, Any], str]:
    """The toy's figures as one JSON document, and the page that shows them."""
    base = toy.teacher()
    measured = toy.sampled(seed=seed)
    cells = toy.sweep(SWEEP_T, SWEEP_P)
    machines = (base, toy.self_distil(base, toy.T_TRAIN, toy.TRAIN_TOP_P))
    rows = []
    for name, machine, interval, paper in zip(
        ("teacher", "student"), machines, measured, ("8.32 % at 0.639", "13.77 % at 2.091"), strict=True
    ):
        top = toy.best(machine)
        figures = {"temperature": top.temperature, "success": top.success, "low": interval.low, "high": interval.high}
        rows.append({"model": name, **figures, "sampled": interval.estimate, "paper": paper})
    grid = [
        {"t_train": c.t_train, "top_p": c.top_p, "t_eval": c.best.temperature, "success": c.best.success} for c in cells
    ]
    page = render("simulate.html.j2", rows=rows, charts=_charts(cells))
    return {"schema": "ssd-simulate/1", "seed": seed, "best": rows, "sweep": grid}, page
