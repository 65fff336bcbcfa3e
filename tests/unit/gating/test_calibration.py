"""Calibration: what it promises is what fresh samples of the same model get."""

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.errors import DataError, GateError
from ssd_plugin.gating.calibration import Calibration, calibrate
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.run import Bench, judge, load_bench
from ssd_plugin.gating.verdict import Outcome, decide
from ssd_plugin.report.gating import print_calibration

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
WHOLE = (
    POLICY
    + """
[gates.collapse]
tier = "critical"
k = 2
pass_at_k_margin = 0.12
damage_margin = 0.1
[gates.secrets]
tier = "critical"
margin = 0.1
[gates.lint]
tier = "supporting"
margin = 0.1
"""
)
REPLICATES = 100


@pytest.fixture
def run(tools: Any, tmp_path: Path) -> Any:
    small = tools.World(tmp_path, tools.make_tasks(80))

    def calibrated(rows: Any, policy: str = POLICY) -> Calibration:
        (tmp_path / "policy.toml").write_text(policy.format(margin=0.1))
        baseline = small.write("baseline", rows)
        return calibrate(
            str(tmp_path / "policy.toml"), small.tasks_path, baseline, tmp_path / "work", replicates=REPLICATES
        )

    return small, calibrated


def judge_fresh(small: Any, bench: Bench, sides: Sequence[Any], memo: ProgramMemo) -> Outcome:
    """The whole policy on two freshly sampled sides, gate by gate as in a gate run."""
    context = small.context(*sides, alpha=bench.policy.alpha / bench.policy.looks, memo=memo)
    results = {
        name: found.gate.check(context, bench.settings[name])
        for name, found in bench.gates.items()
        if name != "integrity"
    }
    judged = [gate for gate in judge(bench, results, {}) if gate.result.gate in results]
    return decide(judged, date(2027, 1, 1))[0]


def agree(promised: float, observed: float, fresh: int) -> bool:
    spread = math.sqrt(promised * (1 - promised) * (1 / REPLICATES + 1 / fresh))
    return abs(promised - observed) < 3 * spread + 0.05


def test_honest_candidates_get_go_as_often_as_the_whole_policy_promised(tools: Any, run: Any, tmp_path: Path) -> None:
    small, calibrated = run
    found = calibrated(tools.make_rows(small.tasks, samples=8, seed=1), WHOLE)
    halves, redrawn = found.experiments[:2]
    assert set(halves.gates) == {"correctness", "collapse", "secrets", "lint"}
    assert (halves.samples, redrawn.samples) == (4, 8)
    bench, memo, fresh = load_bench(str(tmp_path / "policy.toml")), ProgramMemo(), 60
    for experiment, samples in ((halves, 4), (redrawn, 8)):
        outcomes = [
            judge_fresh(
                small, bench, [tools.make_rows(small.tasks, samples=samples, seed=s) for s in (n, n + 999)], memo
            )
            for n in range(100, 100 + fresh)
        ]
        observed = sum(one is Outcome.GO for one in outcomes) / fresh
        promised = experiment.outcomes.get("GO", 0.0)
        assert agree(promised, observed, fresh), (experiment.name, promised, observed)
    assert 0.1 < halves.outcomes["GO"] < 0.98, "the case must be able to fail"
    assert found.false_block.estimate == pytest.approx(1 - redrawn.outcomes["GO"])
    assert found.false_block.low <= found.false_block.estimate <= found.false_block.high
    every = [one.gates["correctness"].get("pass", 0.0) for one in found.experiments]
    assert all(one.outcomes.get("GO", 0.0) <= share for one, share in zip(found.experiments, every, strict=True)), (
        "all gates together pass no more often than one of them"
    )


def test_a_worse_model_is_held_back_at_the_margin_and_caught_at_twice(tools: Any, run: Any) -> None:
    small, calibrated = run
    found = calibrated(tools.make_rows(small.tasks, samples=8, seed=1))
    halves, redrawn, loss, tasks, double = found.experiments
    assert [one.name for one in found.experiments] == ["halves", "redrawn", "margin_loss", "lost_tasks", "double_loss"]
    assert redrawn.outcomes.get("GO", 0.0) > halves.outcomes.get("GO", 0.0), "twice the samples see more"
    assert found.false_pass is not None
    passes = [one.outcomes.get("GO", 0.0) for one in (loss, tasks)]
    assert found.false_pass.estimate == max(passes) <= 0.1, "at most about alpha of the time"
    assert found.power is not None
    assert found.power.estimate == double.outcomes.get("NO-GO", 0.0) > 0.5
    assert double.outcomes.get("GO", 0.0) == 0
    assert halves.outcomes.get("NO-GO", 0.0) <= 0.05
    assert redrawn.alone == {"correctness": pytest.approx(found.false_block.estimate)}, "the only gate blocks alone"
    assert found.left_out == ("integrity",)


def test_a_policy_without_correctness_has_no_margin_to_lose(tools: Any, run: Any) -> None:
    small, calibrated = run
    policy = WHOLE.replace('[gates.correctness]\ntier = "critical"\nmargin = {margin}\n', "")
    found = calibrated(tools.make_rows(small.tasks, samples=8), policy.replace("= 0.1\n", "= 0.2\n"))
    assert (found.false_pass, found.power) == (None, None)
    assert [one.name for one in found.experiments] == ["halves", "redrawn"]
    assert found.false_block.estimate <= 0.05, "margins of 0.2 leave room on 80 tasks"


@pytest.mark.parametrize("policy", ["enterprise", "strict"])
def test_figures_of_the_weights_are_left_out_of_calibration(tools: Any, tmp_path: Path, policy: str) -> None:
    from ssd_plugin.gates import domain_shift

    small = tools.World(tmp_path, tools.make_tasks(80))
    rows = tools.make_rows(small.tasks)
    settings = load_bench(policy).settings["domain_shift"]
    assert settings.nll_documents > 0
    names = {
        resampled: {
            one.name
            for one in domain_shift.check(small.context(rows, rows, resampled=resampled), settings).measurements
        }
        for resampled in (False, True)
    }
    assert names[False] - names[True] == {"nats per character of human code"}


def test_calibration_needs_two_samples(tools: Any, run: Any) -> None:
    small, calibrated = run
    with pytest.raises(DataError, match="two samples a task"):
        calibrated(tools.make_rows(small.tasks, samples=1))


def test_a_baseline_that_solves_nothing_cannot_be_calibrated(tools: Any, run: Any) -> None:
    small, calibrated = run
    with pytest.raises(GateError, match="cannot show the loss of its margin"):
        calibrated(tools.make_rows(small.tasks, samples=4, rate=-1.0))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "min_tasks = 50",
            "min_tasks = 100",
            "80 tasks, the policy asks for 100: no candidate can get GO; give 100 tasks x 8",
        ),
        ("min_samples = 8", "min_samples = 10", "8 samples a task, the policy asks for 10: no candidate can get GO"),
        ("{margin}", "0.01", "tasks like these 80, or more samples a task, or a margin of 0."),
        ("{margin}", "0.3", ""),
    ],
)
def test_too_few_tasks_are_said_with_what_is_needed(
    tools: Any,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    said: str,
) -> None:
    small, calibrated = run
    monkeypatch.setitem(globals(), "REPLICATES", 10)
    found = calibrated(tools.make_rows(small.tasks, samples=8, seed=1), POLICY.replace(old, new))
    assert said in found.too_few
    assert bool(found.too_few) is bool(said)
    print_calibration(found)
    assert ("too few: " in capsys.readouterr().out) is bool(said)
