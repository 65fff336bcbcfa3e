"""The steps of training in the report: SSD's as before, and the curves of methods that learn from rollouts."""

from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.report.steps import OF_ROLLOUTS, read_steps, rollout_charts

STEP = {"step": 1, "loss": 0.5, "lr": 1e-5, "grad_norm": 1.0, "tokens": 10, "seconds": 2.0}
BATCH = STEP | {"reward": 0.25, "entropy": 0.5, "length": 90, "taught": 0.0, "silent_groups": 1.0, "gap": 0.01}


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    write_jsonl(tmp_path / "log.jsonl", rows)
    return read_steps(tmp_path / "log.jsonl")


def test_a_log_of_ssd_has_its_own_keys_and_no_curves_of_rollouts(tmp_path: Path) -> None:
    steps = read(tmp_path, STEP, STEP | {"step": 2})
    assert steps[0] == STEP
    assert rollout_charts(steps) == []


def test_each_key_that_some_step_has_is_a_curve(tmp_path: Path) -> None:
    steps = read(
        tmp_path, BATCH, BATCH | {"step": 2, "entropy": None, "gap": None}, BATCH | {"step": 3, "reward": 0.75}
    )
    assert "gap" not in steps[1]
    charts = rollout_charts(steps)
    assert len(charts) == len(OF_ROLLOUTS)
    assert all(title in chart for chart, (title, _) in zip(charts, OF_ROLLOUTS.values(), strict=True))
    without_reward = [step | {"reward": None} for step in (BATCH, BATCH | {"step": 2})]
    assert len(rollout_charts(read(tmp_path, *without_reward))) == len(OF_ROLLOUTS) - 1


def test_a_long_log_is_thinned(tmp_path: Path) -> None:
    few, many = (
        rollout_charts(read(tmp_path, *(BATCH | {"step": i} for i in range(1, count + 1)))) for count in (300, 3000)
    )
    assert len(many[0]) < 2 * len(few[0])


@pytest.mark.parametrize("rows", [[], [STEP | {"loss": float("inf")}], [{"step": 1}], [BATCH | {"reward": "much"}]])
def test_a_damaged_log_is_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f"{row}\n".replace("'", '"').replace("inf", "1e999") for row in rows))
    with pytest.raises((ValueError, KeyError, TypeError, DataError)):
        read_steps(path)
