"""Bounds of a mean over items that share a passage or a problem: the cluster is then the unit, not the item."""

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.inference import (
    FloatArray,
    finite_numbers,
    open_unit,
    skewness_shift,
    task_bounds,
    unseen_share,
)


def mean_bounds(values: Mapping[str, float], clusters: Mapping[str, str], alpha: float) -> tuple[float, float]:
    """One-sided bounds, each at 1 - alpha, of the mean of values within [-1, 1]; `clusters` by item, empty: each its own.

    Clusters of equal size are bounded by their means as `task_bounds` has it. Of unequal ones each counts by its items: the
    error is that of a ratio estimator, and none of fewer clusters than they are worth (Kish) may be lost unseen.

    Raises:
        StatisticsError: fewer than two clusters, or a value that is not finite or outside [-1, 1].
    """
    array = finite_numbers(list(values.values()))
    if not clusters:
        low, high = task_bounds(array, open_unit(alpha, "alpha"))
        return float(low), float(high)
    if np.abs(array).max() > 1:
        raise StatisticsError("bounds of clustered items need values within [-1, 1]")
    sums: dict[str, list[float]] = {}
    for item, value in values.items():
        sums.setdefault(clusters[item], []).append(value)
    if len(sums) < 2:
        raise StatisticsError("all items are in one cluster; an interval needs two or more")
    sizes = np.array([len(group) for group in sums.values()], dtype=np.float64)
    means = np.array([math.fsum(group) / len(group) for group in sums.values()])
    return _weighted_bounds(means, sizes / sizes.mean(), alpha)


def _weighted_bounds(means: FloatArray, sizes: FloatArray, alpha: float) -> tuple[float, float]:
    """Bounds of the mean of `means` by `sizes`, which are 1 on average."""
    count, mean = means.size, float((means * sizes).mean())
    worth = count**2 / float((sizes**2).sum())  # clusters of equal size that would tell as much
    units = (means - mean) * sizes + mean
    # The pseudo-pair of `task_bounds`, as large as clusters are where items are: a lost one is likelier a large one.
    padded = np.concatenate([units, np.array([1.0, -1.0]) * count / worth])
    quantile = -float(special.stdtrit(worth + 1, alpha))
    centre, half = float(padded.mean()), quantile * float(padded.std(ddof=1)) / math.sqrt(padded.size)
    shift = float(skewness_shift(units, quantile))
    unseen = unseen_share(worth, alpha)
    low = min(centre - half + min(shift, 0.0), (1 - unseen) * mean - unseen)
    high = max(centre + half + max(shift, 0.0), (1 - unseen) * mean + unseen)
    return max(-1.0, low), min(1.0, high)
