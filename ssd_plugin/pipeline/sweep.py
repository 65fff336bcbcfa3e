"""The grid T_train x T_eval x truncation: one sub-run of the pipeline per training distribution, all on one development split.

A cell is an ordinary run directory under `cells/`, brought up to its `select` stage, so that a killed sweep goes on where it
was. The base is the same in every cell: its graded samples are offered by the cells that have them. The best cell alone is
scored on the held-out split.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ssd_plugin.config.checks import parse_truncation
from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.config.parsing import build
from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json, write_json
from ssd_plugin.errors import ConfigError, DataError, RunDirError
from ssd_plugin.grading.result_files import offer
from ssd_plugin.methods.ssd import SSD
from ssd_plugin.metrics.sweep_grid import chosen_cell, sweep_document
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.runner import run_pipeline


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The axes: training temperatures, and truncations of the training samples ("20/0.8", "none")."""

    t_trains: tuple[float, ...] = ()
    truncations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for values in (self.t_trains, [parse_truncation(text) for text in self.truncations]):
            if len(set(values)) < len(values):
                raise ConfigError("each value of --t-train and of --truncation must stand once")

    def with_more(self, other: "Grid") -> "Grid":
        """This grid's values, then those of the other that are new."""
        known = [parse_truncation(text) for text in self.truncations]
        return Grid(
            t_trains=tuple(dict.fromkeys(self.t_trains + other.t_trains)),
            truncations=self.truncations + tuple(t for t in other.truncations if parse_truncation(t) not in known),
        )

    def filled(self, config: RunConfig) -> "Grid":
        """This grid, the recipe's own value on an empty axis."""
        own = config.sampling
        return Grid(
            t_trains=self.t_trains or (own.temperature,), truncations=self.truncations or (f"{own.top_k}/{own.top_p}",)
        )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training distribution: the name of its run directory, and the pipeline's settings with it."""

    name: str
    config: RunConfig


def plan_cells(config: RunConfig, grid: Grid) -> list[Cell]:
    """The cells of a grid whose axes are filled, truncation by truncation.

    T_train = 1 without truncation is the base itself (SSD's fixed point) and has no cell.

    Raises:
        ConfigError: a value that is not allowed, or no cell is left.
    """
    if config.method != SSD.name:
        raise ConfigError(
            f"a sweep's axes are settings of method = {SSD.name}; method = {config.method} has none of them"
        )
    pairs = [parse_truncation(text) for text in grid.truncations]
    points = [DecodeConfig(temperature=t, top_k=k, top_p=p) for k, p in pairs for t in grid.t_trains]
    fixed_point = DecodeConfig(temperature=1.0)
    cells = [
        Cell(name=point.label, config=replace(config, rounds=1, sampling=replace(config.sampling, **asdict(point))))
        for point in points if point != fixed_point
    ]  # fmt: skip
    if not cells:
        raise ConfigError(
            "T_train = 1 without truncation is the base itself; give --t-train or --truncation another value"
        )
    return cells


def run_sweep(config: RunConfig, directory: Path, given: Grid) -> JsonObject:
    """Run, or continue, the sweep in `directory`; writes sweep.json, and a copy into the chosen cell for its report.

    The grid is kept in grid.json: values given later are added to it, and none need be given to continue.

    Raises:
        SsdError: what a cell met; every finished cell, and what was finished of it, is kept.
    """
    sweep = RunDir(directory)
    with sweep.locked():
        grid = _remembered(sweep / layout.SWEEP_GRID).with_more(given).filled(config)
        cells = {sweep / f"{layout.CELLS}/{cell.name}": cell for cell in plan_cells(config, grid)}
        sweep.bind(config_to_json(config))
        write_json(sweep / layout.SWEEP_GRID, asdict(grid))
        for number, (folder, cell) in enumerate(cells.items(), start=1):
            print(f"cell {number} of {len(cells)}: {cell.name}", flush=True)
            share_base(sweep / layout.CELLS, folder)
            run_pipeline(cell.config, folder, until="select")
        best = chosen_cell(list(cells))
        print(f"chosen on the development split: {best.name}; now the held-out split, once", flush=True)
        run_pipeline(cells[best].config, best, until="evaluate")
        document = sweep_document(list(cells), best, looked_at=sorted(_looked_at(sweep / layout.CELLS)))
        for older in (sweep / layout.CELLS).glob(f"*/{layout.CHOSEN_IN_SWEEP}"):
            older.unlink()  # of a cell that was the best of a smaller grid
        for place in (sweep / layout.SWEEP, best / layout.CHOSEN_IN_SWEEP):
            write_json(place, document)
    return document


def _remembered(path: Path) -> Grid:
    """The grid that the directory was last run with; an empty one in a new directory.

    Raises:
        RunDirError: the file is damaged.
    """
    if not path.exists():
        return Grid()
    try:
        return build(Grid, read_json(path), "")
    except (ConfigError, DataError) as error:
        raise RunDirError(f"{path}: damaged ({error}); delete it and give the whole grid again") from error


def share_base(cells: Path, target: Path) -> None:
    """Offer the base's graded samples of every cell to one that lacks them."""
    base = layout.selected("base")
    for source in sorted(cells.glob(f"*/{base}/*")):
        offer(source, target / base / source.name)


def _looked_at(cells: Path) -> Iterator[str]:
    """Cells that were ever scored on the held-out split: more than one means that it was looked at more than once."""
    return (path.parts[-3] for path in cells.glob(f"*/{layout.EVALUATION}"))
