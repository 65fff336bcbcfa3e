"""Calibration: what it promises is what fresh samples of the same model get."""

import math
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.errors import DataError, GateError
from ssd_plugin.gates import correctness
from ssd_plugin.gating.calibration import Calibration, calibrate
from ssd_plugin.verdict import GateStatus

POLICY = """
schema = "ssd-policy/1"
name = "small"
description = "one figure"
promotable = false
sandbox = "landlock"
min_tasks = 50
min_samples = 8
[gates.integrity]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = {margin}
"""
REPLICATES = 150


@pytest.fixture
def run(tools: Any, tmp_path: Path) -> Any:
    small = tools.World(tmp_path, tools.make_tasks(80))
    (tmp_path / "policy.toml").write_text(POLICY.format(margin=0.1))

    def calibrated(rows: Any) -> Calibration:
        baseline = small.write("baseline", rows)
        return calibrate(
            str(tmp_path / "policy.toml"), small.tasks_path, baseline, tmp_path / "work", replicates=REPLICATES
        )

    return small, calibrated


def test_fresh_candidates_pass_as_often_as_promised(tools: Any, run: Any) -> None:
    small, calibrated = run
    found = calibrated(tools.make_rows(small.tasks, samples=8, seed=1))
    halves, redrawn, loss = found.experiments
    assert [one.name for one in found.experiments] == ["halves", "redrawn", "margin_loss"]
    assert (halves.samples, redrawn.samples) == (4, 8)
    passes = 0
    for seed in range(100, 200):
        sides = (tools.make_rows(small.tasks, samples=4, seed=seed + offset) for offset in (0, 1000))
        context = small.context(*sides, alpha=found.alpha)
        passes += correctness.check(context, correctness.Settings(margin=0.1)).status is GateStatus.PASS
    promised, observed = halves.outcomes.get("GO", 0.0), passes / 100
    assert 0.2 < promised < 0.98, "the case must be able to fail"
    assert abs(promised - observed) < 3 * math.sqrt(promised * (1 - promised) * (1 / REPLICATES + 1 / 100)) + 0.05
    assert redrawn.outcomes.get("GO", 0.0) > promised, "twice the samples see more"
    assert loss.outcomes.get("GO", 0.0) <= 0.1, "a candidate at the margin passes at most about alpha of the time"
    assert halves.outcomes.get("NO-GO", 0.0) <= 0.05
    assert found.left_out == ("integrity",)


def test_calibration_needs_two_samples(tools: Any, run: Any) -> None:
    small, calibrated = run
    with pytest.raises(DataError, match="two samples a task"):
        calibrated(tools.make_rows(small.tasks, samples=1))


def test_a_baseline_that_solves_nothing_cannot_be_calibrated(tools: Any, run: Any) -> None:
    small, calibrated = run
    with pytest.raises(GateError, match="cannot show the loss of its margin"):
        calibrated(tools.make_rows(small.tasks, samples=4, rate=-1.0))
