"""`ssd curve` on made-up samples: which runs belong together, what the document and the picture say, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from ssd_plugin.analysis import temperature_curve as curve
from ssd_plugin.config.comparisons import CurveConfig
from ssd_plugin.config.overrides import apply_overrides, config_from_json, config_to_json
from ssd_plugin.config.schema import RunConfig, SamplingConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import write_json, write_jsonl
from ssd_plugin.errors import ConfigError, RunDirError
from ssd_plugin.recipes import load
from ssd_plugin.report.curve_picture import picture, sentence, terminal_lines
from ssd_plugin.tasks.schema import FunctionCheck, Result, Status, Task

TASKS = 40
TEMPERATURES = (0.2, 1.0)
RATES = {"base": 0.2, "ssd": 0.5, "control": 0.2, "base_truncated": 0.45, "ssd_truncated": 0.55}


def settings(seed: int, control: str = "none") -> RunConfig:
    small = CurveConfig(temperatures=TEMPERATURES, samples_per_task=4, pass_at=4)
    return replace(load("ssd_smollm2_135m")(), seed=seed, control=control, curve=small)


def results(path: Path, rate: float, rng: np.random.Generator) -> Path:
    rows = []
    for task in range(TASKS):
        for sample in range(4):
            good = bool(rng.random() < rate)
            program = f"def f_{task}(x):\n    return x + {rng.integers(3)}\n"
            status = Status.PASS if good else Status.FAIL
            rows.append(
                Result(
                    task_id=f"t/{task}",
                    sample_id=f"t/{task}#{sample}",
                    completion=program,
                    status=status,
                    program=program,
                )
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    return path


def make_run(path: Path, seed: int, control: str = "none") -> Path:
    """A run directory with settings, tasks and a place for a model."""
    check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
    tasks = [Task(task_id=f"t/{i}", prompt=f"Task {i}", check=check) for i in range(TASKS)]
    write_jsonl(path / layout.HELD_OUT_TASKS, (task.to_json() for task in tasks))
    write_json(path / layout.BASE_MODEL, {"ref": "m", "revision": "", "digest": "0" * 64})
    write_json(path / layout.CONFIG, config_to_json(settings(seed, control)))
    (path / layout.CANDIDATE_MODEL).mkdir(parents=True)
    return path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], tuple[list[Path], list[Path]]]:
    """Runs and their controls whose samples are drawn from `RATES` in place of a model."""

    def points(arm: str, path: Path, rng: np.random.Generator) -> dict[float, Path]:
        return {t: results(path / arm / f"{t}.jsonl", RATES[arm], rng) for t in TEMPERATURES}

    def measure(path: Path, config: RunConfig) -> dict[str, dict[float, Path]]:
        rng = np.random.default_rng(config.seed)
        return {arm: points(arm, path, rng) for arm in RATES if arm != "control"}

    monkeypatch.setattr(curve, "_measure", measure)
    monkeypatch.setattr(
        curve,
        "_measure_control",
        lambda path, config: points("control", path, np.random.default_rng(config.seed + 100)),
    )

    def make(seeds: int) -> tuple[list[Path], list[Path]]:
        runs = [make_run(tmp_path / f"ssd-{seed}", seed) for seed in range(seeds)]
        return runs, [make_run(tmp_path / f"control-{seed}", seed, "fixed_point") for seed in range(seeds)]

    return make


def endpoint(document: dict[str, Any], arm: str, against: str, k: int = 1) -> dict[str, Any]:
    (row,) = [r for r in document["endpoints"] if (r["arm"], r["against"], r["k"]) == (arm, against, k)]
    return dict(row)


@pytest.mark.parametrize("seeds", [1, 6])
def test_the_document_says_what_the_samples_were_drawn_from(
    made: Callable[[int], tuple[list[Path], list[Path]]], seeds: int
) -> None:
    runs, controls = made(seeds)
    document = curve.measure_runs(runs, controls)
    assert json.loads((runs[0] / layout.CURVE).read_text()) == document
    assert document["seeds"] == list(range(seeds))
    assert set(document["arms"]) == set(RATES)
    gain = endpoint(document, "ssd", "base")
    assert gain["primary"]
    assert gain["low"] < 0.3 < gain["high"]
    assert gain["low"] > 0
    none = endpoint(document, "control", "base")
    assert none["low"] < 0 < none["high"]
    owed = endpoint(document, "ssd", "base_truncated")
    assert owed["low"] < 0.05 < owed["high"]
    assert [row["primary"] for row in document["endpoints"]].count(True) == 2
    variety = {(row["arm"], row["against"]): row for row in document["variety"]}
    assert variety["ssd", "base"]["tasks"] > 10
    assert variety["ssd", "base"]["change"]["low"] < 0 < variety["ssd", "base"]["change"]["high"]


def test_without_controls_their_comparisons_are_left_out(made: Callable[[int], tuple[list[Path], list[Path]]]) -> None:
    runs, _ = made(1)
    document = curve.measure_runs(runs)
    assert "control" not in document["arms"]
    assert not [row for row in document["endpoints"] if "control" in (row["arm"], row["against"])]


def test_the_picture_is_well_formed_and_quotes_the_primary_figure(
    made: Callable[[int], tuple[list[Path], list[Path]]],
) -> None:
    runs, controls = made(1)
    document = curve.measure_runs(runs, controls)
    drawn = picture(document)
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = sentence(document)
    gain = endpoint(document, "ssd", "base")
    assert f"{gain['estimate']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]" in words[0]
    shown = "".join(root.itertext())
    for text in (*words, "decode temperature", "pass@1", "pass@4", "SSD", "control: trained on untruncated samples"):
        assert text in shown
    assert "<script" not in drawn
    assert "nan" not in drawn.split("</style>")[1].lower()


def test_the_terminal_s_lines_fit_a_small_screen(made: Callable[[int], tuple[list[Path], list[Path]]]) -> None:
    runs, controls = made(1)
    document = curve.measure_runs(runs, controls)
    lines = terminal_lines(document)
    assert len(lines) + len(sentence(document)) <= 24
    assert max(map(len, lines)) <= 79


def spoil(path: Path, **changes: Any) -> None:
    write_json(path / layout.CONFIG, config_to_json(replace(settings(1), **changes)))


def test_runs_that_do_not_belong_together_are_refused(
    made: Callable[[int], tuple[list[Path], list[Path]]], tmp_path: Path
) -> None:
    runs, controls = made(2)
    with pytest.raises(ConfigError, match="a seed of its own"):
        curve.measure_runs([runs[0], runs[0]])
    with pytest.raises(ConfigError, match="is no control"):
        curve.measure_runs(runs, runs)
    with pytest.raises(ConfigError, match="every seed needs its control"):
        curve.measure_runs(runs, controls[:1])
    with pytest.raises(ConfigError, match="seed 1 is not that of one run"):
        curve.measure_runs(runs[:1], controls)
    spoil(runs[1], train=replace(settings(1).train, max_lr=1e-3))
    with pytest.raises(RunDirError, match="has other settings"):
        curve.measure_runs(runs)
    spoil(runs[1])
    (runs[1] / layout.HELD_OUT_TASKS).write_text("")
    with pytest.raises(RunDirError, match="same held-out tasks"):
        curve.measure_runs(runs)
    (runs[0] / layout.CANDIDATE_MODEL).rmdir()
    with pytest.raises(RunDirError, match="no trained model yet"):
        curve.measure_runs(runs[:1])
    with pytest.raises(RunDirError):
        curve.measure_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("control", "drawn"),
    [
        ("fixed_point", {"temperature": 1.0, "top_k": 0, "top_p": 0.9999}),
        ("near_greedy", {"temperature": 0.1, "top_p": 1.0}),
    ],
)
def test_a_control_replaces_how_training_samples_are_drawn_and_nothing_else(
    control: str, drawn: dict[str, float]
) -> None:
    plain = load("ssd_smollm2_135m")()
    found = apply_overrides(plain, [f"control={control}"])
    assert {name: getattr(found.sampling, name) for name in drawn} == drawn
    assert replace(found, control="none", sampling=plain.sampling) == plain
    assert config_from_json(json.loads(json.dumps(config_to_json(found)))) == found
    assert isinstance(found.sampling, SamplingConfig)
    assert asdict(found.sampling)["max_new_tokens"] == plain.sampling.max_new_tokens


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("control=placebo", "control"),
        ("curve.temperatures=0,1", "curve.temperatures"),
        ("curve.temperatures=1,1", "each one once"),
        ("curve.pass_at=5", "curve.pass_at"),
        ("curve.pass_at=1", "curve.pass_at"),
        ("curve.samples_per_task=3", "curve.pass_at"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(override: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        apply_overrides(load("ssd_smollm2_135m")(), [override])
