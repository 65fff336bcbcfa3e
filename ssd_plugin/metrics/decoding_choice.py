"""Choosing from a grid of decode settings: the best one, a parabola through them, and how much the choice flatters its pick."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.inference import FloatArray, finite_numbers


def rank(row: JsonObject) -> tuple[float, float]:
    """The higher pass@1 is better; of equals, the lower temperature."""
    return row["pass_at_1"], -row["temperature"]


def best(rows: Sequence[JsonObject]) -> DecodeConfig:
    """The setting that ranks highest; of equals, the first."""
    row = max(rows, key=rank)
    return DecodeConfig(temperature=row["temperature"], top_k=row["top_k"], top_p=row["top_p"])


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """y = c0 + c1 x + c2 x^2; `peak` is the x of its maximum, None when it has none."""

    coefficients: tuple[float, float, float]
    r_squared: float
    peak: float | None


def quadratic_fit(xs: Sequence[float] | FloatArray, ys: Sequence[float] | FloatArray) -> Quadratic:
    """Least squares.

    Raises:
        StatisticsError: fewer than four points or three different x (a parabola meets any three), or y all equal.
    """
    x, y = finite_numbers(xs, "x"), finite_numbers(ys, "y")
    if x.size != y.size or x.size < 4 or np.unique(x).size < 3 or np.ptp(y) == 0:
        raise StatisticsError("a quadratic needs four points or more, three different x and y that are not all equal")
    c2, c1, c0 = (float(c) for c in np.polyfit(x, y, 2))
    unexplained = float(((y - c0 - c1 * x - c2 * x**2) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return Quadratic(coefficients=(c0, c1, c2), r_squared=1 - unexplained, peak=-c1 / (2 * c2) if c2 < 0 else None)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The best setting's mean on the tasks that chose it, its estimate on others, the gap, the share of resamples that agree."""

    apparent: float
    corrected: float
    optimism: float
    stability: float


def selection_optimism(rates: FloatArray, *, resamples: int = 2000, seed: int = 0) -> Selection:
    """Choose the highest mean of `rates` ("settings tasks"; of equals the first) and estimate how much the choice flatters it.

    Each bootstrap resample of tasks chooses anew and is scored on the tasks it left out (Tsamardinos et al. 2018,
    doi:10.1007/s10994-018-5714-4): without bias when the settings are equal, a little too strict when they are not.

    Raises:
        StatisticsError: no settings, fewer than ten tasks, or a rate that is not finite.
    """
    table = np.asarray(rates, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 10 or not np.isfinite(table).all():
        raise StatisticsError(
            f"optimism needs a finite table of settings by ten tasks or more; got shape {table.shape}"
        )
    tasks = table.shape[1]
    drawn = np.random.default_rng(seed).multinomial(tasks, np.full(tasks, 1 / tasks), size=resamples)
    chosen = (drawn @ table.T).argmax(axis=1)
    left_out = drawn == 0
    scores = (left_out * table[chosen]).sum(axis=1) / np.maximum(left_out.sum(axis=1), 1)
    best, corrected = int(table.mean(axis=1).argmax()), float(scores.mean())
    apparent, stability = float(table[best].mean()), float((chosen == best).mean())
    return Selection(apparent=apparent, corrected=corrected, optimism=apparent - corrected, stability=stability)
