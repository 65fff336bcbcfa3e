"""The temperature curve: heights and endpoints by hand, intervals by simulation over tasks and seeds, variety."""

import itertools

import numpy as np
import pytest

from ssd_plugin.errors import DataError, StatisticsError
from ssd_plugin.metrics.inference import paired_t
from ssd_plugin.metrics.temperature_curve import (
    ENDPOINTS,
    Arms,
    compare,
    crossed_interval,
    curve_points,
    heights,
    pairs_that_differ,
)

TASKS = [f"t{i}" for i in range(8)]


def arm(passes: dict[float, list[int]], samples: int = 4) -> dict[float, dict[str, tuple[int, int]]]:
    return {t: {task: (samples, n) for task, n in zip(TASKS, found, strict=True)} for t, found in passes.items()}


BASE = arm({0.2: [4, 2, 0, 0, 1, 1, 3, 0], 1.0: [2, 0, 0, 0, 1, 0, 1, 0]})
BETTER = arm({0.2: [4, 3, 1, 0, 2, 2, 4, 1], 1.0: [4, 2, 1, 0, 2, 1, 2, 1]})


def test_a_height_is_the_mean_over_temperatures_of_pass_at_k() -> None:
    assert heights(BASE, 1)["t0"] == pytest.approx((4 / 4 + 2 / 4) / 2)
    assert heights(BASE, 4)["t4"] == 1.0
    assert heights(BASE, 2)["t1"] == pytest.approx((1 - 1 / 6) / 2)


def test_the_primary_endpoint_is_the_mean_difference_and_its_intervals_hold_together() -> None:
    seed: Arms = {"base": BASE, "ssd": BETTER, "control": BASE}
    found = {(one.endpoint.arm, one.endpoint.against, one.k): one.change for one in compare([seed], (1, 4))}
    assert set(found) == {
        (a, b, k) for a, b in (("ssd", "base"), ("ssd", "control"), ("control", "base")) for k in (1, 4)
    }
    change = found["ssd", "base", 1]
    by_hand = [heights(BETTER, 1)[t] - heights(BASE, 1)[t] for t in TASKS]
    assert change.estimate == pytest.approx(sum(by_hand) / 8)
    alone = paired_t(by_hand)
    assert (change.low, change.high) == pytest.approx(
        (lambda one: (one.low, one.high))(paired_t(by_hand, confidence=1 - 0.05 / 2))
    )
    assert change.low < alone.low < alone.high < change.high
    assert found["control", "base", 4].estimate == 0.0
    assert found["control", "base", 4].low < 0 < found["control", "base", 4].high


def test_the_primary_endpoint_comes_first_and_is_the_only_one() -> None:
    assert [one.primary for one in ENDPOINTS] == [True] + [False] * (len(ENDPOINTS) - 1)
    assert (ENDPOINTS[0].arm, ENDPOINTS[0].against) == ("ssd", "base")


def test_a_band_is_over_tasks_of_the_means_over_seeds() -> None:
    points = curve_points([{"base": BASE}, {"base": BETTER}], "base", 1)
    assert points[0.2].estimate == pytest.approx((11 / 32 + 17 / 32) / 2)
    assert points[0.2].low < points[0.2].estimate < points[0.2].high


@pytest.mark.parametrize(
    ("seeds", "match"),
    [
        ([{"base": BASE, "ssd": BETTER}, {"base": BASE}], "same arms"),
        ([{"base": BASE, "ssd": {0.2: BETTER[0.2]}}], "different temperatures"),
        ([{"base": BASE, "ssd": {t: dict(list(c.items())[1:]) for t, c in BETTER.items()}}], "different tasks"),
        ([{"base": BASE, "ssd": {0.2: BETTER[0.2], 1.0: {"t0": (4, 1)}}}], "same tasks"),
    ],
)
def test_what_is_not_paired_is_refused(seeds: list[Arms], match: str) -> None:
    with pytest.raises(StatisticsError, match=match):
        compare(seeds, (1,))


def test_pass_at_k_of_fewer_samples_is_refused() -> None:
    with pytest.raises(DataError, match="needs 5 samples"):
        compare([{"base": BASE, "ssd": BETTER}], (5,))


def test_one_seed_is_the_interval_over_its_tasks_and_more_never_lie_inside_it() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(-0.3, 0.5, size=(1, 40))
    one, alone = crossed_interval(values), paired_t(values[0])
    assert (one.low, one.high) == (alone.low, alone.high)
    same = np.repeat(values, 3, axis=0)
    three = crossed_interval(same)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))
    spread = same + np.array([[-0.2], [0.0], [0.2]])
    wide = crossed_interval(spread)
    assert wide.low < three.low < three.high < wide.high


@pytest.mark.parametrize("shape", [(0, 5), (5,), (2, 1)])
def test_a_table_without_seeds_or_with_one_task_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StatisticsError):
        crossed_interval(np.zeros(shape))


@pytest.mark.parametrize(("seeds", "of_seeds"), [(3, 0.0), (3, 0.05), (5, 0.05), (2, 0.03)])
def test_the_interval_over_tasks_and_seeds_covers_the_true_mean(seeds: int, of_seeds: float) -> None:
    rng = np.random.default_rng(seeds)
    repeats, tasks, true = 800, 60, 0.1
    covered = 0
    for _ in range(repeats):
        values = (
            true
            + rng.normal(0, 0.2, size=(1, tasks))
            + rng.normal(0, of_seeds, size=(seeds, 1))
            + rng.normal(0, 0.2, size=(seeds, tasks))
        )
        found = crossed_interval(np.clip(values, -1, 1))
        covered += found.low <= true <= found.high
    assert covered / repeats >= 0.95 - 3.5 * (0.95 * 0.05 / repeats) ** 0.5


def test_ignoring_seeds_would_cover_too_little() -> None:
    """What the second level is for: with seeds that differ, the interval over tasks alone misses far too often."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        values = rng.normal(0, 0.05, size=(3, 1)) + rng.normal(0, 0.2, size=(3, 300))
        alone = paired_t(np.clip(values, -1, 1).mean(axis=0))
        covered += alone.low <= 0 <= alone.high
    assert covered / 400 < 0.8


def test_pairs_that_differ_does_not_depend_on_how_many_programs_pass() -> None:
    assert pairs_that_differ([]) is None
    assert pairs_that_differ(["a"]) is None
    assert pairs_that_differ(["a", "a", "a"]) == 0.0
    assert pairs_that_differ(["a", "b", "c"]) == 1.0
    shapes = ["a", "a", "b", "c", "a", "b"]
    pairs = list(itertools.combinations(shapes, 2))
    assert pairs_that_differ(shapes) == pytest.approx(sum(x != y for x, y in pairs) / len(pairs))
    drawn = [pairs_that_differ(list(some)) for some in itertools.combinations(shapes, 3)]
    assert sum(value for value in drawn if value is not None) / len(drawn) == pytest.approx(pairs_that_differ(shapes))
