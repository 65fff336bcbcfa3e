"""Statistics of the project: intervals over tasks, non-inferiority, exact McNemar, Holm; power is in `power.py`.

The unit is the task: average a task's samples first, then pass one number a task. Deltas are candidate minus baseline
of something where more is better; for a rate where less is better (lint findings, parse failures) pass baseline minus
candidate, so that a negative delta is always a loss. Nothing here guesses: empty, NaN or unpaired input raises.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes a second to import; its special functions hold all that is needed

from ssd_plugin.errors import StatisticsError

FloatArray = npt.NDArray[np.float64]

_PRIOR = 10  # tasks' worth of weight that the spread of all groups has in a group's own
_CHUNK = 2_000_000  # bootstrap draws held in memory at once (16 MB)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with the bounds of its two-sided interval, in the unit of the input."""

    estimate: float
    low: float
    high: float
    confidence: float


class Decision(StrEnum):
    """What a non-inferiority test can say."""

    PASS = "pass"
    BREACH = "breach"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """`lower` and `upper` are one-sided bounds, each at 1 - alpha."""

    outcome: Decision
    lower: float
    upper: float
    estimate: float
    tasks: int


def finite_numbers(values: Sequence[float] | FloatArray, what: str = "values") -> FloatArray:
    """The values as an array; `what` names them in the error.

    Raises:
        StatisticsError: empty, not one number each, or not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise StatisticsError(f"{what}: expected a non-empty list of numbers, one a task; got shape {array.shape}")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise StatisticsError(f"{what}: entry {bad} is {array[bad]}; every task needs a finite number")
    return array


def open_unit(value: float, name: str) -> float:
    """The value, strictly between 0 and 1.

    Raises:
        StatisticsError: it is not.
    """
    if not 0.0 < value < 1.0:
        raise StatisticsError(f"{name} must lie strictly between 0 and 1, is {value}")
    return value


def positive_margin(margin: float) -> None:
    """Refuse a margin that is no positive number.

    Raises:
        StatisticsError: it is none.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise StatisticsError(f"margin must be a positive number, is {margin}")


def paired_deltas(baseline: Mapping[str, float], candidate: Mapping[str, float]) -> list[float]:
    """Candidate minus baseline by task id, in the baseline's order.

    Raises:
        StatisticsError: the two sides do not hold exactly the same tasks (says how many and names one), or none.
    """
    unpaired = sorted(baseline.keys() ^ candidate.keys())
    if unpaired or not baseline:
        named = f"{len(unpaired)} tasks stand on one side only, such as {unpaired[0]!r}" if unpaired else "no tasks"
        raise StatisticsError(f"baseline and candidate must hold the same tasks: {named}")
    return [candidate[task] - value for task, value in baseline.items()]


def _resampled_means(array: FloatArray, resamples: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // array.size)
    parts = [
        array[rng.integers(array.size, size=(min(rows, resamples - start), array.size))].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def bootstrap_mean(
    values: Sequence[float] | FloatArray, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Expanded-percentile bootstrap interval of the mean over tasks.

    The percentiles are widened by the t quantile and sqrt(n / (n - 1)), which undoes the plain percentile interval's
    narrowness on few tasks (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"). Values that are all
    equal give an interval of width zero: for a decision use `noninferiority`, whose pseudo-pairs do not.

    Raises:
        StatisticsError: fewer than two values, or one that is not finite.
    """
    array = finite_numbers(values)
    if array.size < 2:
        raise StatisticsError("an interval needs two tasks or more; got one")
    if resamples < 100:
        raise StatisticsError(f"resamples must be 100 or more, is {resamples}")
    quantile = float(special.stdtrit(array.size - 1, (1 - open_unit(confidence, "confidence")) / 2))
    tail = float(special.ndtr(math.sqrt(array.size / (array.size - 1)) * quantile))
    low, high = np.quantile(_resampled_means(array, resamples, seed), (tail, 1 - tail))
    return Interval(estimate=float(array.mean()), low=float(low), high=float(high), confidence=confidence)


def unseen_share(tasks: float, alpha: float) -> float:
    """The largest share of tasks that may be lost whole while none of `tasks` shows it, at 1 - alpha (exact binomial)."""
    return -math.expm1(math.log(open_unit(alpha, "alpha")) / tasks)


def tasks_for_margin(margin: float, alpha: float) -> int:
    """The fewest tasks on which any candidate can be shown to lose less than `margin` of the tasks whole."""
    return math.ceil(math.log(open_unit(alpha, "alpha")) / math.log1p(-open_unit(margin, "margin")))


def _plain_bounds(deltas: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    tasks = deltas.shape[-1]
    if tasks < 2:
        raise StatisticsError("an interval needs two tasks or more; got one")
    mean, error = deltas.mean(axis=-1), deltas.std(axis=-1, ddof=1) / math.sqrt(tasks)
    half = -special.stdtrit(tasks - 1, alpha) * error
    return mean - half, mean + half


def skewness_shift(deltas: FloatArray, quantile: float) -> FloatArray:
    squares = deltas * deltas
    total = np.maximum(squares.sum(axis=-1), np.finfo(float).tiny)
    shift: FloatArray = quantile**2 / 2 * (squares * deltas).sum(axis=-1) / total / deltas.shape[-1]
    return shift


def task_bounds(deltas: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """One-sided bounds of the mean over the last axis ("... tasks" to "..."), of deltas within [-1, 1].

    A t bound with a pseudo-pair of +1 and -1 is too tight in two ways where tasks are won or lost whole: a few lost ones skew the
    mean, and where none was seen some may still be. So the bound moves by t^2 / 2 tasks in proportion to the skewness (all of it
    where each delta is 0 or -1, as in Wilson's score interval; nothing where losses and gains are alike), and never lies inside
    `unseen_share`.

    Raises:
        StatisticsError: a delta outside [-1, 1].
    """
    if np.abs(deltas).max() > 1:
        raise StatisticsError(
            "pseudo-pairs of +1 and -1 need deltas within [-1, 1]; pass pseudo_pairs=False for other units"
        )
    tasks, pair = deltas.shape[-1], np.broadcast_to((1.0, -1.0), (*deltas.shape[:-1], 2))
    low, high = _plain_bounds(np.concatenate([deltas, pair], axis=-1), alpha)
    shift = skewness_shift(deltas, float(special.stdtrit(tasks + 1, alpha)))
    unseen, mean = unseen_share(tasks, alpha), deltas.mean(axis=-1)
    return (
        np.maximum(-1.0, np.minimum(low + np.minimum(shift, 0.0), (1 - unseen) * mean - unseen)),
        np.minimum(1.0, np.maximum(high + np.maximum(shift, 0.0), (1 - unseen) * mean + unseen)),
    )


def _bounds(deltas: FloatArray, alpha: float, pseudo_pairs: bool) -> tuple[float, float]:
    low, high = (task_bounds if pseudo_pairs else _plain_bounds)(deltas, alpha)
    return float(low), float(high)


def paired_t(deltas: Sequence[float] | FloatArray, *, confidence: float = 0.95, pseudo_pairs: bool = True) -> Interval:
    """Two-sided interval of the mean delta by the bounds that `noninferiority` decides by; `estimate` is the plain mean.

    One pseudo-task of +1 and one of -1 keep the width above zero when every task ties (the sibling of Agresti and
    Coull's "plus four" for paired proportions), so ten ties no longer prove equality; `task_bounds` has the rest.

    Raises:
        StatisticsError: empty, not finite, outside [-1, 1] with pseudo-pairs, or all equal without them.
    """
    array = finite_numbers(deltas, "deltas")
    tail = (1 - open_unit(confidence, "confidence")) / 2
    low, high = _bounds(array, tail, pseudo_pairs)
    if low == high:
        raise StatisticsError("all deltas are equal, which says nothing about their spread; use pseudo_pairs=True")
    return Interval(estimate=float(array.mean()), low=low, high=high, confidence=confidence)


def share_interval(values: Sequence[float] | FloatArray, *, confidence: float = 0.95) -> Interval:
    """Two-sided interval of the mean over tasks of values within [0, 1] (pass rates, pass@k of one side).

    The bounds of `task_bounds`, seen from either end: with no task passed it is Clopper and Pearson's one-sided bound, where a
    bootstrap of equal values has no width and one of few passes covers far less than it says.

    Raises:
        StatisticsError: empty, not finite, or outside [0, 1].
    """
    array = finite_numbers(values)
    if array.min() < 0 or array.max() > 1:
        raise StatisticsError("shares must lie within [0, 1]")
    tail = (1 - open_unit(confidence, "confidence")) / 2
    high, low = _bounds(array, tail, True)[1], 1 - _bounds(1 - array, tail, True)[1]
    return Interval(estimate=float(array.mean()), low=low, high=high, confidence=confidence)


def noninferiority(
    deltas: Sequence[float] | FloatArray, *, margin: float, alpha: float = 0.05, pseudo_pairs: bool = True
) -> NonInferiority:
    """Is the loss smaller than `margin`? Two one-sided bounds over tasks; a negative delta is a loss.

    PASS: the lower bound lies above -margin. BREACH: the upper bound lies below it. INSUFFICIENT: neither, or zero
    variance without pseudo-pairs. Several such tests that must all pass need no correction (intersection-union,
    Berger 1982).

    Raises:
        StatisticsError: empty or not finite deltas, a margin that is not positive.
    """
    array = finite_numbers(deltas, "deltas")
    positive_margin(margin)
    lower, upper = _bounds(array, open_unit(alpha, "alpha"), pseudo_pairs)
    outcome = Decision.INSUFFICIENT
    if lower < upper:
        outcome = Decision.PASS if lower > -margin else Decision.BREACH if upper < -margin else outcome
    return NonInferiority(outcome=outcome, lower=lower, upper=upper, estimate=float(array.mean()), tasks=array.size)


def exact_share(count: int, total: int, *, confidence: float = 0.95) -> Interval:
    """The share `count / total` with its two-sided Clopper-Pearson interval: it holds at least as often as it says.

    Raises:
        StatisticsError: nothing was counted, or more than there were.
    """
    if not 0 <= count <= total or total < 1:
        raise StatisticsError(f"a share needs a count within a total of one or more; got {count} of {total}")
    tail = (1 - open_unit(confidence, "confidence")) / 2
    low = float(special.betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return Interval(estimate=count / total, low=low, high=high, confidence=confidence)


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact p-value of McNemar's test on discordant tasks; 1.0 when there are none.

    Raises:
        StatisticsError: a negative count.
    """
    if wins < 0 or losses < 0:
        raise StatisticsError(f"counts cannot be negative: wins {wins}, losses {losses}")
    if wins + losses == 0:
        return 1.0
    return min(1.0, 2.0 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979).

    Raises:
        StatisticsError: empty, or a value outside [0, 1].
    """
    array = finite_numbers(p_values, "p-values")
    if array.min() < 0 or array.max() > 1:
        raise StatisticsError("p-values must lie within [0, 1]")
    order = np.argsort(array, kind="stable")
    stepped = np.maximum.accumulate(array[order] * np.arange(array.size, 0, -1))
    adjusted = np.empty_like(array)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def simultaneous_intervals(
    groups: Mapping[str, Sequence[float]], *, confidence: float = 0.95, pseudo_pairs: bool = True
) -> dict[str, Interval]:
    """Bonferroni t intervals, one a group, that hold all together with at least `confidence`.

    Bonferroni asks nothing of how the groups depend on each other, and with disjoint tasks it costs next to nothing.
    Each interval's `confidence` is the joint one.

    Raises:
        StatisticsError: no groups, or a group as in `paired_t` (named).
    """
    if not groups:
        raise StatisticsError("simultaneous intervals need one group or more")
    each = 1 - (1 - open_unit(confidence, "confidence")) / len(groups)
    intervals = {}
    for name, deltas in groups.items():
        try:
            one = paired_t(deltas, confidence=each, pseudo_pairs=pseudo_pairs)
        except StatisticsError as error:
            raise StatisticsError(f"group {name!r}: {error}") from error
        intervals[name] = Interval(estimate=one.estimate, low=one.low, high=one.high, confidence=confidence)
    return intervals


def group_bounds(groups: Mapping[str, Sequence[float]], alpha: float = 0.05) -> dict[str, NonInferiority]:
    """Bounds of each group's mean delta, for "no group lost the margin" (all lower bounds) and "one did" (any upper bound).

    `lower` holds at 1 - alpha for its group alone, which is enough where all must pass, and never lies inside `unseen_share`;
    `upper` holds for all groups together (Bonferroni). A group's variance is its own and that of all groups at the weight of ten
    tasks (with a pseudo-pair of +1 and -1): few tasks tell little of their own spread (Smyth 2004, moderated t). `outcome` is
    INSUFFICIENT: the margin is the caller's.

    Raises:
        StatisticsError: no groups, or a group that is empty or not finite (named).
    """
    arrays = {name: finite_numbers(deltas, f"group {name!r}") for name, deltas in groups.items()}
    if not arrays:
        raise StatisticsError("bounds of groups need one group or more")
    tasks = sum(array.size for array in arrays.values())
    within = {name: float(((array - array.mean()) ** 2).sum()) for name, array in arrays.items()}
    common = (sum(within.values()) + 2) / (tasks - len(arrays) + 2)
    found = {}
    for name, array in arrays.items():
        freedom = array.size - 1 + min(_PRIOR, tasks - len(arrays) + 2)
        spread = (within[name] + _PRIOR * common) / (array.size - 1 + _PRIOR)
        error, mean = math.sqrt(spread / array.size), float(array.mean())
        unseen, quantile = unseen_share(array.size, alpha), float(special.stdtrit(freedom, alpha))
        low = mean + quantile * error + min(float(skewness_shift(array, quantile)), 0.0)
        found[name] = NonInferiority(
            outcome=Decision.INSUFFICIENT, lower=min(low, (1 - unseen) * mean - unseen),
            upper=mean - float(special.stdtrit(freedom, alpha / len(arrays))) * error, estimate=mean, tasks=array.size,
        )  # fmt: skip
    return found
