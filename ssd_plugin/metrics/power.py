"""What `statistics.noninferiority` can see, said before a candidate is looked at: its power, and the tasks that it needs."""

import math
from collections.abc import Sequence

from scipy import special

from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.inference import finite_numbers, open_unit, positive_margin, unseen_share


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
    """Expected lower bound of `noninferiority` (for deltas without skew), and the standard deviation of what it is built from."""
    if not (math.isfinite(sd) and sd >= 0) or tasks < 2:
        raise StatisticsError(f"power needs a finite sd >= 0 and two tasks or more; got sd {sd}, {tasks} tasks")
    extra = 2 if pseudo_pairs else 0
    total = tasks + extra
    mean = tasks * true_delta / total
    squares = tasks * (sd**2 + true_delta**2) + extra - total * mean**2  # the pseudo-pair adds (+1)^2 + (-1)^2
    error = math.sqrt(squares / (total - 1) / total)
    bound = mean + float(special.stdtrit(total - 1, open_unit(alpha, "alpha"))) * error
    if pseudo_pairs:
        unseen = unseen_share(tasks, alpha)
        bound = min(bound, (1 - unseen) * true_delta - unseen)
    return bound, sd * math.sqrt(tasks) / total


def noninferiority_power(
    *, sd: float, tasks: int, margin: float, true_delta: float = 0.0, alpha: float = 0.05, pseudo_pairs: bool = True
) -> float:
    """Probability that `noninferiority` says PASS, by the normal approximation of the mean delta.

    `sd` is the standard deviation of the deltas over tasks: `same_model_sd`, or sqrt(discordant share) with one
    sample a task.

    Raises:
        StatisticsError: negative sd, fewer than two tasks, a margin that is not positive.
    """
    positive_margin(margin)
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
    open_unit(power, "power")
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
    return float(special.ndtri(open_unit(power, "power"))) * spread - bound
