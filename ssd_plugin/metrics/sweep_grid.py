"""What a sweep's cells say together: the grid, the fit in T_eff = T_train x T_eval, the choice, and what choosing costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json
from ssd_plugin.errors import RunDirError, StatisticsError
from ssd_plugin.metrics.decoding_choice import best, quadratic_fit, rank, selection_optimism
from ssd_plugin.metrics.evaluation import read_evaluation
from ssd_plugin.metrics.inference import FloatArray
from ssd_plugin.metrics.summary import tally
from ssd_plugin.tasks.schema import read_tasks

SCHEMA = "ssd-sweep/1"
Row = Mapping[str, Any]


def _decode(row: Row) -> JsonObject:
    return {"temperature": row["temperature"], "top_k": row["top_k"], "top_p": row["top_p"]}


def _side(cell: Path, side: str) -> list[JsonObject]:
    """A cell's grid of one side ("base" or "ssd")."""
    return [row for row in read_json(cell / layout.CHOICE)["grid"] if row["side"] == side]


def chosen_cell(cells: Sequence[Path]) -> Path:
    """The cell with the best candidate on the development split, at its own best decode setting; of equals the first.

    Raises:
        RunDirError: there is no cell.
    """
    if not cells:
        raise RunDirError("a sweep needs a finished cell")
    return max(cells, key=lambda cell: max(rank(row) for row in _side(cell, "ssd")))


def sweep_document(cells: Sequence[Path], chosen: Path, looked_at: Sequence[str]) -> JsonObject:
    """The document of sweep.json. `cells`: run directories up to `select`; `chosen` was also scored on the held-out split.

    Raises:
        DataError, RunDirError: a cell's file is missing or malformed.
    """
    config, base = read_json(chosen / layout.CONFIG), _side(cells[0], "base")
    rows = [_cell(cell) for cell in cells]
    return {
        "schema": SCHEMA,
        "recipe": config["recipe"],
        "model": config["model"]["ref"],
        "seed": config["seed"],
        "development": _split(chosen),
        "base": base,
        "cells": rows,
        "fits": _fits(rows),
        "chosen": {"cell": chosen.name, "train": _trained(chosen), "decode": asdict(best(_side(chosen, "ssd")))},
        "base_best": asdict(best(base)),
        "selection": _selection(cells),
        "held_out": _held_out(chosen) | {"looked_at": list(looked_at)},
    }  # fmt: skip


def _split(cell: Path) -> JsonObject:
    samples = read_json(cell / layout.CONFIG)["select"]["samples_per_task"]
    return {"tasks": len(read_tasks(cell / layout.DEV_TASKS)), "samples_per_task": samples}


def _trained(cell: Path) -> JsonObject:
    return _decode(read_json(cell / layout.CONFIG)["sampling"])


def _cell(cell: Path) -> JsonObject:
    train = _trained(cell)
    grid = [
        {key: row[key] for key in ("temperature", "top_k", "top_p", "pass_at_1", "low", "high")}
        | {"t_eff": train["temperature"] * row["temperature"]}
        for row in _side(cell, "ssd")
    ]
    return {"cell": cell.name, "train": train, "grid": grid}


def _fits(cells: Iterable[Row]) -> list[JsonObject]:
    """A quadratic of the development pass@1 over T_eff for each pair of training and decode truncation; or why there is none."""
    groups: dict[tuple[int, float, int, float], list[Row]] = {}
    for cell in cells:
        for row in cell["grid"]:
            key = (cell["train"]["top_k"], cell["train"]["top_p"], row["top_k"], row["top_p"])
            groups.setdefault(key, []).append(row)
    fits = []
    for (train_k, train_p, top_k, top_p), rows in groups.items():
        fit: JsonObject = {"train": {"top_k": train_k, "top_p": train_p}, "decode": {"top_k": top_k, "top_p": top_p},
                           "points": len(rows), "why_not": ""}  # fmt: skip
        try:
            fit |= asdict(quadratic_fit([row["t_eff"] for row in rows], [row["pass_at_1"] for row in rows]))
        except StatisticsError as error:
            fit["why_not"] = str(error)
        fits.append(fit)
    return fits


def _rates(cell: Path, side: str) -> list[tuple[float, list[float]]]:
    """(temperature, pass rate by task) of each decode setting of a cell's side."""
    tasks = {task.task_id: task for task in read_tasks(cell / layout.DEV_TASKS)}
    rows = []
    for row in _side(cell, side):
        found = tally(cell / layout.selected_results(side, DecodeConfig(**_decode(row)).label), tasks)
        rows.append((row["temperature"], [passed / n for n, passed in found.tasks.values()]))
    return rows


def _table(rows: list[tuple[float, list[float]]]) -> FloatArray:
    """Settings by tasks, the lowest temperature first: of equals the first is chosen, here as in the stage `select`."""
    return np.array([rates for _, rates in sorted(rows, key=lambda row: row[0])])


def _selection(cells: Sequence[Path]) -> JsonObject:
    """How much choosing the best of the grid flatters it, for SSD (all cells), the base, and the gain of one over the other.

    Both sides are resampled with the same draws of tasks, so their difference is paired.
    """
    try:
        ssd = selection_optimism(_table([row for cell in cells for row in _rates(cell, "ssd")]))
        base = selection_optimism(_table(_rates(cells[0], "base")))
    except StatisticsError as error:
        return {"why_not": str(error)}
    gain = {
        "apparent": ssd.apparent - base.apparent,
        "corrected": ssd.corrected - base.corrected,
        "optimism": ssd.optimism - base.optimism,
    }
    return {"why_not": "", "ssd": asdict(ssd), "base": asdict(base), "gain": gain}


def _held_out(cell: Path) -> JsonObject:
    evaluation = read_evaluation(cell / layout.EVALUATION)
    sides = {
        name: {"label": side.label, "decode": asdict(side.decode), "pass_at_1": side.pass_at_1.to_json()}
        for name, side in evaluation.sides.items()
    }
    deltas = {
        pair: delta.pass_at_1.to_json() for pair, delta in evaluation.deltas.items() if pair.startswith("candidate-")
    }
    return {
        "tasks": evaluation.tasks,
        "samples_per_task": evaluation.samples_per_task,
        "sides": sides,
        "deltas": deltas,
    }
