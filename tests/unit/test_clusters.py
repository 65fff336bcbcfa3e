"""Bounds of clustered items: those of `task_bounds` where clusters are alike, never narrower than they may be elsewhere."""

import numpy as np
import pytest

from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.clusters import mean_bounds
from ssd_plugin.metrics.inference import task_bounds

ALPHA = 0.025


def clustered(means: np.ndarray, sizes: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
    values = {f"{c}/{n}": float(mean) for c, mean in enumerate(means) for n in range(int(sizes[c]))}
    return values, {item: item.partition("/")[0] for item in values}


def test_without_clusters_and_with_alike_ones_the_bounds_are_those_of_tasks() -> None:
    deltas = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=60)
    expected = pytest.approx([float(bound) for bound in task_bounds(deltas, ALPHA)])
    assert list(mean_bounds({str(n): float(x) for n, x in enumerate(deltas)}, {}, ALPHA)) == expected
    assert list(mean_bounds(*clustered(deltas, np.full(60, 7)), ALPHA)) == expected


def test_items_of_one_passage_are_not_counted_as_if_they_were_independent() -> None:
    deltas = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=40)
    values, clusters = clustered(deltas, np.full(40, 10))
    low, high = mean_bounds(values, {}, ALPHA)
    wider = mean_bounds(values, clusters, ALPHA)
    assert wider[0] < low < high < wider[1]
    assert (wider[1] - wider[0]) / (high - low) > 2.5  # ten times fewer units: about the root of ten


@pytest.mark.parametrize("sizer", ["equal", "uniform", "lognormal"])
@pytest.mark.parametrize(("count", "loss"), [(60, 0.1), (120, 0.05), (300, 0.05)])
def test_a_loss_of_the_margin_in_whole_clusters_passes_no_more_often_than_it_may(
    sizer: str, count: int, loss: float
) -> None:
    rng = np.random.default_rng(3)
    sizes = {
        "equal": lambda: np.full(count, 5),
        "uniform": lambda: rng.integers(1, 11, size=count),
        "lognormal": lambda: np.ceil(rng.lognormal(1.5, 1, size=count)).astype(int),
    }[sizer]
    runs = 300
    passed = sum(
        mean_bounds(*clustered(-(rng.random(count) < loss).astype(float), sizes()), ALPHA)[0] > -loss
        for _ in range(runs)
    )
    assert passed / runs <= ALPHA + 3.5 * (ALPHA * (1 - ALPHA) / runs) ** 0.5


def test_clustered_bounds_refuse_what_says_nothing() -> None:
    with pytest.raises(StatisticsError, match="all items are in one cluster"):
        mean_bounds({"a": 0.0, "b": 1.0}, {"a": "p", "b": "p"}, ALPHA)
    with pytest.raises(StatisticsError, match="within"):
        mean_bounds({"a": 0.0, "b": 2.0}, {"a": "p", "b": "q"}, ALPHA)
    with pytest.raises(StatisticsError, match="is nan"):
        mean_bounds({"a": 0.0, "b": float("nan")}, {}, ALPHA)
