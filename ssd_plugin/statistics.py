"""All statistics of the project: intervals over tasks, non-inferiority and its power, exact McNemar, Holm.

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
    """`lower` and `upper` are one-sided bounds, each at 1 - alpha; `p_value` tests "the loss is the margin or more"."""

    outcome: Decision
    lower: float
    upper: float
    estimate: float
    tasks: int
    p_value: float


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


def _open_unit(value: float, name: str) -> float:
    if not 0.0 < value < 1.0:
        raise StatisticsError(f"{name} must lie strictly between 0 and 1, is {value}")
    return value


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
    quantile = float(special.stdtrit(array.size - 1, (1 - _open_unit(confidence, "confidence")) / 2))
    tail = float(special.ndtr(math.sqrt(array.size / (array.size - 1)) * quantile))
    low, high = np.quantile(_resampled_means(array, resamples, seed), (tail, 1 - tail))
    return Interval(estimate=float(array.mean()), low=float(low), high=float(high), confidence=confidence)


def paired_bootstrap(
    baseline: Sequence[float] | FloatArray,
    candidate: Sequence[float] | FloatArray,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of candidate minus baseline, the i-th entries of both being the same task.

    Raises:
        StatisticsError: the sides differ in length, or as `bootstrap_mean`.
    """
    left, right = finite_numbers(baseline, "baseline"), finite_numbers(candidate, "candidate")
    if left.size != right.size:
        raise StatisticsError(f"unpaired: {left.size} baseline and {right.size} candidate values")
    return bootstrap_mean(right - left, confidence=confidence, resamples=resamples, seed=seed)


def _mean_and_error(deltas: FloatArray, pseudo_pairs: bool) -> tuple[float, float, int]:
    """Mean, standard error and degrees of freedom, with the pseudo-pair of +1 and -1 appended where asked for."""
    if pseudo_pairs:
        if np.abs(deltas).max() > 1:
            raise StatisticsError(
                "pseudo-pairs of +1 and -1 need deltas within [-1, 1]; pass pseudo_pairs=False for other units"
            )
        deltas = np.append(deltas, (1.0, -1.0))
    if deltas.size < 2:
        raise StatisticsError("an interval needs two tasks or more; got one")
    return float(deltas.mean()), float(deltas.std(ddof=1)) / math.sqrt(deltas.size), deltas.size - 1


def paired_t(deltas: Sequence[float] | FloatArray, *, confidence: float = 0.95, pseudo_pairs: bool = True) -> Interval:
    """Two-sided t interval of the mean delta; `estimate` is the plain mean, the bounds include the pseudo-pair.

    One pseudo-task of +1 and one of -1 keep the width above zero when every task ties (the sibling of Agresti and
    Coull's "plus four" for paired proportions), so ten ties no longer prove equality.

    Raises:
        StatisticsError: empty, not finite, outside [-1, 1] with pseudo-pairs, or all equal without them.
    """
    array = finite_numbers(deltas, "deltas")
    mean, error, freedom = _mean_and_error(array, pseudo_pairs)
    if error == 0.0:
        raise StatisticsError("all deltas are equal, which says nothing about their spread; use pseudo_pairs=True")
    half = float(special.stdtrit(freedom, (1 + _open_unit(confidence, "confidence")) / 2)) * error
    return Interval(estimate=float(array.mean()), low=mean - half, high=mean + half, confidence=confidence)


def noninferiority(
    deltas: Sequence[float] | FloatArray, *, margin: float, alpha: float = 0.05, pseudo_pairs: bool = True
) -> NonInferiority:
    """Is the loss smaller than `margin`? Two one-sided t bounds over tasks; a negative delta is a loss.

    PASS: the lower bound lies above -margin. BREACH: the upper bound lies below it. INSUFFICIENT: neither, or zero
    variance without pseudo-pairs. Several such tests that must all pass need no correction (intersection-union,
    Berger 1982).

    Raises:
        StatisticsError: empty or not finite deltas, a margin that is not positive.
    """
    array = finite_numbers(deltas, "deltas")
    if not (math.isfinite(margin) and margin > 0):
        raise StatisticsError(f"margin must be a positive number, is {margin}")
    mean, error, freedom = _mean_and_error(array, pseudo_pairs)
    half = float(special.stdtrit(freedom, 1 - _open_unit(alpha, "alpha"))) * error
    outcome, p_value = Decision.INSUFFICIENT, 1.0
    if error > 0:
        p_value = float(special.stdtr(freedom, -(mean + margin) / error))
        if mean - half > -margin:
            outcome = Decision.PASS
        elif mean + half < -margin:
            outcome = Decision.BREACH
    return NonInferiority(outcome=outcome, lower=mean - half, upper=mean + half, estimate=float(array.mean()),
                          tasks=array.size, p_value=p_value)  # fmt: skip


def same_model_sd(passes: Sequence[int], samples: int) -> float:
    """Expected standard deviation over tasks of an A/A delta, from one side's passes out of `samples` a task.

    Two draws of the same model differ on a task by a variance of 2 p (1 - p) / k; p (1 - p) is estimated without bias.

    Raises:
        StatisticsError: fewer than two samples a task, or a count outside 0..samples.
    """
    counts = finite_numbers(passes, "passes")
    if samples < 2:
        raise StatisticsError("the spread between samples needs two samples a task or more")
    if counts.min() < 0 or counts.max() > samples:
        raise StatisticsError(f"passes must lie between 0 and {samples}")
    rates = counts / samples
    return math.sqrt(float((2 * rates * (1 - rates) / (samples - 1)).mean()))


def _lower_bound_terms(
    sd: float, tasks: int, true_delta: float, alpha: float, pseudo_pairs: bool
) -> tuple[float, float]:
    """Expected lower bound of `noninferiority`, and the standard deviation of the mean it is built from."""
    if not (math.isfinite(sd) and sd >= 0) or tasks < 2:
        raise StatisticsError(f"power needs a finite sd >= 0 and two tasks or more; got sd {sd}, {tasks} tasks")
    extra = 2 if pseudo_pairs else 0
    total = tasks + extra
    mean = tasks * true_delta / total
    squares = tasks * (sd**2 + true_delta**2) + extra - total * mean**2  # the pseudo-pair adds (+1)^2 + (-1)^2
    error = math.sqrt(squares / (total - 1) / total)
    return mean - float(special.stdtrit(total - 1, 1 - _open_unit(alpha, "alpha"))) * error, sd * math.sqrt(
        tasks
    ) / total


def noninferiority_power(
    *, sd: float, tasks: int, margin: float, true_delta: float = 0.0, alpha: float = 0.05, pseudo_pairs: bool = True
) -> float:
    """Probability that `noninferiority` says PASS, by the normal approximation of the mean delta.

    `sd` is the standard deviation of the deltas over tasks: `same_model_sd`, or sqrt(discordant share) with one
    sample a task.

    Raises:
        StatisticsError: negative sd, fewer than two tasks, a margin that is not positive.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise StatisticsError(f"margin must be a positive number, is {margin}")
    bound, spread = _lower_bound_terms(sd, tasks, true_delta, alpha, pseudo_pairs)
    if spread == 0:
        return float(bound > -margin)
    return float(special.ndtr((bound + margin) / spread))


def tasks_needed(
    *,
    sd: float,
    margin: float,
    power: float = 0.8,
    true_delta: float = 0.0,
    alpha: float = 0.05,
    pseudo_pairs: bool = True,
) -> int:
    """The fewest tasks with which `noninferiority_power` reaches `power`.

    Raises:
        StatisticsError: no number of tasks reaches it (the true loss is the margin or more).
    """
    _open_unit(power, "power")
    if margin + true_delta <= 0:
        raise StatisticsError(
            f"a true loss of {-true_delta} is not within the margin {margin}: no number of tasks passes it"
        )

    def enough(tasks: int) -> bool:
        reached = noninferiority_power(
            sd=sd, tasks=tasks, margin=margin, true_delta=true_delta, alpha=alpha, pseudo_pairs=pseudo_pairs
        )
        return reached >= power

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def minimum_detectable(
    *, sd: float, tasks: int, power: float = 0.8, alpha: float = 0.05, pseudo_pairs: bool = True
) -> float:
    """The smallest margin that a candidate equal to its baseline would pass with probability `power`.

    Raises:
        StatisticsError: as `noninferiority_power`.
    """
    bound, spread = _lower_bound_terms(sd, tasks, 0.0, alpha, pseudo_pairs)
    return float(special.ndtri(_open_unit(power, "power"))) * spread - bound


def exact_share(count: int, total: int, *, confidence: float = 0.95) -> Interval:
    """The share `count / total` with its two-sided Clopper-Pearson interval: it holds at least as often as it says.

    Raises:
        StatisticsError: nothing was counted, or more than there were.
    """
    if not 0 <= count <= total or total < 1:
        raise StatisticsError(f"a share needs a count within a total of one or more; got {count} of {total}")
    tail = (1 - _open_unit(confidence, "confidence")) / 2
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
    each = 1 - (1 - _open_unit(confidence, "confidence")) / len(groups)
    intervals = {}
    for name, deltas in groups.items():
        try:
            one = paired_t(deltas, confidence=each, pseudo_pairs=pseudo_pairs)
        except StatisticsError as error:
            raise StatisticsError(f"group {name!r}: {error}") from error
        intervals[name] = Interval(estimate=one.estimate, low=one.low, high=one.high, confidence=confidence)
    return intervals
