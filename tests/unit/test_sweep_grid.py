"""The cells that a sweep plans, the grid it remembers, and what it says of finished cells: by hand-made run directories."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ssd_plugin.cli.report import command as report_command
from ssd_plugin.config.overrides import apply_overrides, config_to_json
from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.core.jsonl import write_json, write_jsonl
from ssd_plugin.errors import ConfigError, RunDirError
from ssd_plugin.metrics.summary import summarise
from ssd_plugin.metrics.sweep_grid import chosen_cell, sweep_document
from ssd_plugin.pipeline import sweep as sweep_module
from ssd_plugin.pipeline.sweep import Grid, _remembered, plan_cells, run_sweep
from ssd_plugin.recipes import load
from ssd_plugin.report.sweep_page import write_sweep

TASKS = 12


@pytest.fixture
def config() -> RunConfig:
    settings = ["sampling.temperature=0.7", "sampling.top_k=20", "sampling.top_p=0.8", "rounds=3"]
    return apply_overrides(load("ssd_smollm2_135m")(), settings)


def names(config: RunConfig, *t_trains: float, truncations: tuple[str, ...] = ()) -> list[str]:
    return [cell.name for cell in plan_cells(config, Grid(t_trains=t_trains, truncations=truncations).filled(config))]


def test_cells_are_the_product_of_the_axes_and_an_empty_axis_is_the_recipes(config: RunConfig) -> None:
    assert names(config) == ["T=0.7,k=20,p=0.8"]
    assert names(config, 0.5, 1.5) == ["T=0.5,k=20,p=0.8", "T=1.5,k=20,p=0.8"]
    assert names(config, truncations=("none", "5/1")) == ["T=0.7", "T=0.7,k=5"]
    (cell,) = plan_cells(config, Grid(t_trains=(1.5,), truncations=("none",)))
    assert (cell.config.sampling.temperature, cell.config.sampling.top_k, cell.config.sampling.top_p) == (1.5, 0, 1.0)
    assert cell.config.rounds == 1
    assert cell.config.train == config.train


def test_the_fixed_point_has_no_cell_and_alone_is_refused(config: RunConfig) -> None:
    assert names(config, 1.0, 1.2, truncations=("none", "20/0.8")) == ["T=1.2", "T=1,k=20,p=0.8", "T=1.2,k=20,p=0.8"]
    with pytest.raises(ConfigError, match="is the base itself"):
        names(config, 1.0, truncations=("none",))


@pytest.mark.parametrize(
    ("t_trains", "truncations", "said"),
    [((0.7, 0.7), (), "stand once"), ((), ("20/0.8", "20/0.80"), "stand once"), ((), ("20-0.8",), "TOP_K/TOP_P"),
     ((9.0,), (), "temperature = 9"), ((), ("20/1.5",), "top_p")],
)  # fmt: skip
def test_a_bad_value_is_refused(
    config: RunConfig, t_trains: tuple[float, ...], truncations: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        names(config, *t_trains, truncations=truncations)


def test_a_grid_is_remembered_and_grows_by_what_is_new(tmp_path: Path) -> None:
    assert _remembered(tmp_path / "grid.json") == Grid()
    first = Grid(t_trains=(0.7, 1.0), truncations=("20/0.8",))
    (tmp_path / "grid.json").write_text(json.dumps(first.__dict__))
    kept = _remembered(tmp_path / "grid.json")
    assert kept.with_more(Grid()) == first
    more = kept.with_more(Grid(t_trains=(1.3, 0.7), truncations=("none", "20/0.80")))
    assert more == Grid(t_trains=(0.7, 1.0, 1.3), truncations=("20/0.8", "none"))
    (tmp_path / "grid.json").write_text('{"t_trains": ["warm"]}')
    with pytest.raises(RunDirError, match=r"grid\.json: damaged"):
        _remembered(tmp_path / "grid.json")


def write_side(folder: Path, passing: int) -> None:
    """Graded samples of `TASKS` tasks, one each, the first `passing` of them passing."""
    rows = [
        {"task_id": f"t{i}", "sample_id": "0", "completion": "x", "status": "pass" if i < passing else "fail"}
        for i in range(TASKS)
    ]
    write_jsonl(folder / "results.jsonl", rows)


def write_cell(cells: Path, config: RunConfig, t_train: float, passing: dict[float, int]) -> Path:
    """A cell up to `select`: the candidate passes that many tasks at each T_eval, the base three at 0.2 and two at 1."""
    cell = plan_cells(config, Grid(t_trains=(t_train,), truncations=("none",)))[0]
    folder = cells / cell.name
    write_json(folder / "config.json", config_to_json(cell.config))
    check = {"kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [1]}
    for split in ("dev", "heldout"):
        tasks = [{"task_id": f"t{i}", "prompt": "Write f.", "domain": "maths", **check} for i in range(TASKS)]
        write_jsonl(folder / f"prompts/{split}.jsonl", tasks)
    grid = []
    for side, counts in (("base", {0.2: 3, 1.0: 2}), ("ssd", passing)):
        for temperature, count in counts.items():
            decode = DecodeConfig(temperature=temperature)
            write_side(folder / f"select/{side}/{decode.label}", count)
            row = {"side": side, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            grid.append(row | {"pass_at_1": count / TASKS, "low": 0.0, "high": 1.0})
    write_json(folder / "select/choice.json", {"grid": grid})
    return folder


def write_held_out(cell: Path) -> None:
    sides = {"base": 2, "base_best": 3, "candidate": 6}
    for side, passing in sides.items():
        write_side(cell / f"evaluate/{side}", passing)
    files = {side: cell / f"evaluate/{side}/results.jsonl" for side in sides}
    decodes = {side: DecodeConfig(temperature=0.2) for side in sides}
    write_json(
        cell / "evaluate/summary.json",
        summarise(cell / "prompts/heldout.jsonl", files, decodes, {side: side for side in sides}),
    )


@pytest.fixture
def cells(config: RunConfig, tmp_path: Path) -> list[Path]:
    return [
        write_cell(tmp_path / "cells", config, 0.7, {0.2: 5, 1.0: 4}),
        write_cell(tmp_path / "cells", config, 1.5, {0.2: 4, 1.0: 6}),
        write_cell(tmp_path / "cells", config, 1.8, {0.2: 2, 1.0: 6}),
    ]


def test_the_best_cell_is_chosen_by_the_development_split_alone_and_of_equals_the_first(cells: list[Path]) -> None:
    assert chosen_cell(cells).name == "T=1.5"
    assert chosen_cell(cells[2:] + cells[:2]).name == "T=1.8"
    with pytest.raises(RunDirError, match="needs a finished cell"):
        chosen_cell([])


def described(cells: list[Path]) -> dict[str, Any]:
    best = chosen_cell(cells)
    write_held_out(best)
    return sweep_document(cells, best, looked_at=[best.name])


def test_the_document_says_what_the_cells_hold(cells: list[Path]) -> None:
    document = described(cells)
    assert [cell["cell"] for cell in document["cells"]] == ["T=0.7", "T=1.5", "T=1.8"]
    assert [row["t_eff"] for row in document["cells"][1]["grid"]] == pytest.approx([0.3, 1.5])
    assert document["chosen"]["train"] == {"temperature": 1.5, "top_k": 0, "top_p": 1.0}
    assert document["chosen"]["decode"] == {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    assert document["base_best"]["temperature"] == 0.2
    (fit,) = document["fits"]
    assert (fit["points"], fit["why_not"]) == (6, "")
    gain = document["selection"]["gain"]
    assert gain["apparent"] == pytest.approx(3 / TASKS)
    assert gain["apparent"] - gain["corrected"] == pytest.approx(gain["optimism"])
    assert document["held_out"]["deltas"]["candidate-base_best"]["estimate"] == pytest.approx(3 / TASKS)
    assert document["held_out"]["looked_at"] == ["T=1.5"]


def test_what_cannot_be_fitted_says_why(cells: list[Path]) -> None:
    document = described(cells[1:2])
    assert "four points or more" in document["fits"][0]["why_not"]
    for cell in cells:
        for file in (cell / "prompts/dev.jsonl", *(cell / "select").rglob("results.jsonl")):
            file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
    assert "ten tasks or more" in described(cells)["selection"]["why_not"]


def test_a_sweep_is_continued_by_its_directory_alone_and_grows(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline's stages are stood in for by files; what a cell passes is by its training temperature."""
    passing = {0.7: {0.2: 5, 1.0: 4}, 1.5: {0.2: 4, 1.0: 6}, 1.8: {0.2: 2, 1.0: 7}}
    ran: list[tuple[str, str]] = []

    def run_pipeline(cell: RunConfig, folder: Path, until: str) -> int:
        ran.append((folder.name, until))
        if until == "select":
            write_cell(folder.parent, config, cell.sampling.temperature, passing[cell.sampling.temperature])
        else:
            write_held_out(folder)
        return 0

    monkeypatch.setattr(sweep_module, "run_pipeline", run_pipeline)
    first = run_sweep(config, tmp_path, Grid(t_trains=(0.7, 1.5), truncations=("none",)))
    assert run_sweep(config, tmp_path, Grid()) == first
    assert ran == [("T=0.7", "select"), ("T=1.5", "select"), ("T=1.5", "evaluate")] * 2
    assert (tmp_path / "cells/T=1.5/analysis/sweep.json").exists()
    grown = run_sweep(config, tmp_path, Grid(t_trains=(1.8,)))
    assert [cell["cell"] for cell in grown["cells"]] == ["T=0.7", "T=1.5", "T=1.8"]
    assert (grown["chosen"]["cell"], grown["held_out"]["looked_at"]) == ("T=1.8", ["T=1.5", "T=1.8"])
    assert [path.parts[-3] for path in tmp_path.glob("cells/*/analysis/sweep.json")] == ["T=1.8"]
    with pytest.raises(ConfigError, match="temperature = 9"):
        run_sweep(config, tmp_path, Grid(t_trains=(9.0,)))
    assert json.loads((tmp_path / "grid.json").read_text())["t_trains"] == [0.7, 1.5, 1.8]


def test_ssd_report_writes_a_sweeps_pages_anew(cells: list[Path], tmp_path: Path) -> None:
    unfinished = CliRunner().invoke(report_command, ["--run-dir", str(tmp_path)])
    assert isinstance(unfinished.exception, RunDirError)
    assert "continue it with: ssd sweep" in str(unfinished.exception)
    assert str(tmp_path / "cells") in str(unfinished.exception)
    document = described(cells)
    write_json(tmp_path / "sweep.json", document)
    write_sweep(tmp_path, document)
    page = (tmp_path / "sweep.html").read_text()
    (tmp_path / "sweep.html").unlink()
    answer = CliRunner().invoke(report_command, ["--run-dir", str(tmp_path)])
    assert answer.exit_code == 0, answer.exception
    assert (tmp_path / "sweep.html").read_text() == page
    answer = CliRunner().invoke(report_command, ["--run-dir", str(tmp_path), "--json"])
    assert json.loads(answer.output) == json.loads(json.dumps(document))
    for damaged, said in (
        ({"schema": "other"}, "is not known"),
        ({"schema": "ssd-sweep/1"}, "malformed"),
        ([], "malformed"),
    ):
        write_json(tmp_path / "sweep.json", damaged)
        answer = CliRunner().invoke(report_command, ["--run-dir", str(tmp_path)])
        assert isinstance(answer.exception, RunDirError)
        assert said in str(answer.exception)
