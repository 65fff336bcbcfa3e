"""The grid T_train x T_eval x truncation: one sub-run of the line a training distribution, all on one development split.

A cell is an ordinary run directory under `cells/`, brought up to its `select` stage, so that a killed sweep goes on where it
was. The base is the same in every cell: its graded samples are copied from the first cell that has them, and are taken only
if they were made from the very same things. The best cell alone is scored on the held-out split.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ssd_plugin.analysis.grid import DOCUMENT, chosen_cell, describe
from ssd_plugin.config import DecodeConfig, RunConfig, parse_truncation
from ssd_plugin.errors import ConfigError
from ssd_plugin.jsonl import JsonObject, write_json
from ssd_plugin.pipeline import run_line
from ssd_plugin.rundir import RunDir
from ssd_plugin.settings import config_to_json

CELLS = "cells"
BASE = "select/base"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training distribution: the name of its run directory, and the line's settings with it."""

    name: str
    config: RunConfig


def plan_cells(config: RunConfig, t_trains: Sequence[float], truncations: Sequence[str]) -> list[Cell]:
    """The cells of a grid, truncation by truncation; an empty axis is the recipe's own value.

    T_train = 1 without truncation is the base itself (the method's fixed point) and has no cell.

    Raises:
        ConfigError: a value that is not allowed or stands twice, or no cell is left.
    """
    own = config.sampling
    pairs = [parse_truncation(text) for text in truncations] or [(own.top_k, own.top_p)]
    points = [DecodeConfig(temperature=t, top_k=k, top_p=p) for k, p in pairs for t in (t_trains or [own.temperature])]
    if len(set(points)) < len(points):
        raise ConfigError("each value of --t-train and of --truncation must stand once")
    fixed_point = DecodeConfig(temperature=1.0)
    cells = [
        Cell(name=point.label, config=replace(config, rounds=1, sampling=replace(own, **asdict(point))))
        for point in points if point != fixed_point
    ]  # fmt: skip
    if not cells:
        raise ConfigError(
            "T_train = 1 without truncation is the base itself; give --t-train or --truncation another value"
        )
    return cells


def run_sweep(config: RunConfig, directory: Path, t_trains: Sequence[float], truncations: Sequence[str]) -> JsonObject:
    """Run, or continue, the sweep in `directory`; writes sweep.json, and a copy into the chosen cell for its report.

    Raises:
        SsdError: what a cell met; every finished cell, and what was finished of it, is kept.
    """
    cells = plan_cells(config, t_trains, truncations)
    sweep = RunDir(directory)
    with sweep.locked():
        sweep.bind(config_to_json(config))
        folders = [sweep / f"{CELLS}/{cell.name}" for cell in cells]
        for number, (cell, folder) in enumerate(zip(cells, folders, strict=True), start=1):
            print(f"cell {number} of {len(cells)}: {cell.name}", flush=True)
            share_base(sweep / CELLS, folder)
            run_line(cell.config, folder, until="select")
        best = chosen_cell(folders)
        print(f"chosen on the development split: {best.name}; now the held-out split, once", flush=True)
        chosen = next(cell for cell in cells if cell.name == best.name)
        run_line(chosen.config, best, until="evaluate")
        document = describe(folders, best, looked_at=sorted(_looked_at(sweep / CELLS)))
        for place in (sweep / DOCUMENT, best / "analysis" / DOCUMENT):
            write_json(place, document)
    return document


def share_base(cells: Path, target: Path) -> None:
    """Copy the base's graded samples into a cell that lacks them; the stage itself checks whether they may be used."""
    for source in sorted(cells.glob(f"*/{BASE}/*")):
        place = target / BASE / source.name
        if (source / "results.jsonl.meta.json").exists() and not place.exists():
            shutil.copytree(source, place)


def _looked_at(cells: Path) -> Iterator[str]:
    """Cells that were ever scored on the held-out split: more than one means that it was looked at more than once."""
    return (path.parts[-3] for path in cells.glob("*/evaluate/summary.json"))
