"""Shipped policies let a good candidate pass and hold a worse one back, by the simulation whose tables are committed."""

import policies as simulation
import pytest

from ssd_plugin.gating.run import load_bench
from ssd_plugin.metrics.inference import tasks_for_margin

RUNS = 200


def test_the_papers_improvement_gets_go_at_the_size_of_livecodebench() -> None:
    suite = simulation.SUITES[2]
    assert (suite.tasks, suite.level) == (131, 0.424)
    assert simulation.outcomes(["default"], suite, 10, 0.126, RUNS)[0][0] >= 0.8


def test_an_equal_model_gets_go_on_humaneval_with_twenty_samples() -> None:
    for level in (0.5, 0.8):
        suite = simulation.Suite(name="HumanEval", tasks=164, level=level, spread=0.6)
        assert simulation.outcomes(["default"], suite, 20, 0.0, RUNS)[0][0] >= 0.75, (
            level
        )  # 0.8 less two standard errors


@pytest.mark.parametrize("kind", ["even", "lost tasks", "mixture", "one domain"])
@pytest.mark.parametrize(
    ("policy", "suite", "samples"), [("default", 0, 20), ("default", 2, 10), ("enterprise", 1, 20)]
)
def test_a_loss_of_the_margin_gets_go_no_more_often_than_nominal(
    policy: str, suite: int, samples: int, kind: str
) -> None:
    margin = load_bench(policy).settings["correctness"].margin
    ((go, _),) = simulation.outcomes([policy], simulation.SUITES[suite], samples, -margin, RUNS, kind)
    assert go <= 0.025 + 3 * (0.025 * 0.975 / RUNS) ** 0.5


@pytest.mark.parametrize("policy", ["default", "samples_only", "enterprise", "strict", "embedded", "smoke"])
def test_no_margin_is_out_of_reach_at_the_fewest_tasks_a_policy_takes(policy: str) -> None:
    bench = load_bench(policy)
    alpha = bench.policy.alpha / bench.policy.looks
    margins = {
        f"{gate}.{name}": value
        for gate, settings in bench.settings.items()
        for name, value in vars(settings).items()
        if name.endswith("margin") and not name.startswith(("domain", "nll")) and value > 0
    }
    assert len(margins) > 8
    short = {name: tasks_for_margin(value, alpha) for name, value in margins.items()}
    assert {name: tasks for name, tasks in short.items() if tasks > bench.policy.min_tasks} == {}
