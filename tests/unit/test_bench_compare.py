"""The guard over the benchmarks' ratios: a drop beyond the noise fails, one within it passes, nothing missing passes."""

import random

import pytest
from _compare import FALSE_ALARMS, compare, compare_all

STEADY = [3.00, 3.02, 2.98]


def test_a_drop_beyond_noise_fails_and_names_both_sizes() -> None:
    found = compare("sampling", STEADY, [2.40, 2.42, 2.38])
    assert found.failure == "dropped by 20%, noise explains 5%"
    assert found.drop == pytest.approx(0.2, abs=0.01)


def test_the_same_drop_within_noise_passes() -> None:
    found = compare("sampling", [3.6, 3.0, 2.5], [2.9, 2.4, 1.9])
    assert found.failure == ""
    assert found.drop > 0.15
    assert found.noise > found.drop


@pytest.mark.parametrize("now", [STEADY, [2.90, 2.92, 2.88], [9.0, 9.1, 8.9]])
def test_no_drop_a_small_one_and_a_gain_pass(now: list[float]) -> None:
    assert compare("sampling", STEADY, now).failure == ""


@pytest.mark.parametrize("bad", [[], [3.0], [3.0, float("nan")], [3.0, 0.0], [3.0, float("inf")]])
def test_figures_that_cannot_be_compared_fail(bad: list[float]) -> None:
    assert "now: two rounds or more" in compare("sampling", STEADY, bad).failure
    assert "committed: two rounds or more" in compare("sampling", bad, STEADY).failure


def test_a_missing_figure_fails_on_either_side() -> None:
    found = {c.name: c.failure for c in compare_all({"gone": STEADY, "kept": STEADY}, {"kept": STEADY, "new": STEADY})}
    assert found["kept"] == ""
    assert "no committed ratio" in found["new"]
    assert "not measured" in found["gone"]


def test_equal_speeds_are_seldom_called_a_drop() -> None:
    rng = random.Random(1)
    rounds = [[[3 * rng.lognormvariate(0, 0.2) for _ in range(3)] for _ in range(2)] for _ in range(1000)]
    alarms = sum(bool(compare("sampling", before, after).failure) for before, after in rounds)
    assert alarms / 1000 == pytest.approx(FALSE_ALARMS, abs=0.01)
