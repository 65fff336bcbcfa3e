"""pass@k over decode temperatures, and what is compared there: fixed before any run (docs/reproduction.md), over tasks and seeds.

A curve is what one arm passes at each temperature; its height is the mean over the temperatures, each with the same weight (the
area under the curve). Differences are paired by task and seed.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ssd_plugin.errors import StatisticsError
from ssd_plugin.metrics.inference import FloatArray, Interval, open_unit, paired_t, share_interval
from ssd_plugin.metrics.pass_at_k import pass_at_k

Counts = Mapping[str, tuple[int, int]]
"""(samples, passes) by task."""

Curve = Mapping[float, Counts]
"""One arm of one seed: counts by temperature."""

Arms = Mapping[str, Curve]
"""One seed: its curves by arm. All have the same tasks, arms that are compared the same temperatures."""

ARMS = {
    "base": "base",
    "control": "control: trained on untruncated samples",
    "ssd": "SSD",
    "base_truncated": "base, truncated as its training samples",
    "ssd_truncated": "SSD, truncated as its training samples",
    "base_best": "base at its best decode",
    "ssd_best": "SSD at its best decode",
}
"""Every arm with the label that readers see; the last two have one point, chosen on the development tasks."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`arm` minus `against`; the primary ones say whether anything changed, the others what it is owed to."""

    arm: str
    against: str
    primary: bool = False

    @property
    def label(self) -> str:
        """For tables."""
        return f"{ARMS[self.arm]} - {ARMS[self.against]}"


ENDPOINTS = (
    Endpoint(arm="ssd", against="base", primary=True),
    Endpoint(arm="ssd", against="control"),
    Endpoint(arm="ssd", against="base_truncated"),
    Endpoint(arm="ssd_truncated", against="base_truncated"),
    Endpoint(arm="ssd_best", against="base_best"),
    Endpoint(arm="control", against="base"),
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """An endpoint's difference of mean pass@k, with an interval that holds together with those of its kind, primary or not."""

    endpoint: Endpoint
    k: int
    change: Interval


def rates(counts: Counts, k: int) -> dict[str, float]:
    """pass@k of each task.

    Raises:
        DataError: fewer than `k` samples.
    """
    return {task: pass_at_k(n, passed, k) for task, (n, passed) in counts.items()}


def heights(curve: Curve, k: int) -> dict[str, float]:
    """Each task's pass@k averaged over the temperatures.

    Raises:
        StatisticsError: no temperature, or one has other tasks than another.
    """
    by_temperature = [rates(counts, k) for counts in curve.values()]
    if not by_temperature or any(found.keys() != by_temperature[0].keys() for found in by_temperature):
        raise StatisticsError("a curve needs the same tasks at one temperature or more")
    return {task: sum(found[task] for found in by_temperature) / len(by_temperature) for task in by_temperature[0]}


def crossed_interval(values: FloatArray, *, confidence: float = 0.95) -> Interval:
    """Mean of differences ("seeds tasks", within [-1, 1]) with an interval for other tasks and other seeds.

    Both are drawn at random and crossed: the variance of the mean is that of the tasks, that of the seeds and the rest, each by
    its mean square, with Satterthwaite's degrees of freedom. It never lies inside the interval over tasks of the means over
    seeds (`paired_t`); that is all there is for one seed, and it holds for that seed alone.

    Raises:
        StatisticsError: no seeds, fewer than two tasks, or a value that is not finite.
    """
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise StatisticsError(f"expected a table of one seed or more by two tasks or more; got shape {values.shape}")
    over_tasks = paired_t(values.mean(axis=0), confidence=confidence)
    if values.shape[0] == 1:
        return over_tasks
    half = _half_width(values, (1 - open_unit(confidence, "confidence")) / 2)
    mean = over_tasks.estimate
    low, high = max(-1.0, min(over_tasks.low, mean - half)), min(1.0, max(over_tasks.high, mean + half))
    return Interval(estimate=mean, low=low, high=high, confidence=confidence)


def _half_width(values: FloatArray, tail: float) -> float:
    seeds, tasks = values.shape
    by_task, by_seed = values.mean(axis=0), values.mean(axis=1)
    rest = values - by_task[None, :] - by_seed[:, None] + values.mean()
    of_tasks = seeds * float(by_task.var(ddof=1))
    of_rest = float((rest**2).sum()) / ((seeds - 1) * (tasks - 1))
    of_seeds = max(tasks * float(by_seed.var(ddof=1)), of_rest)  # seeds vary at least by chance
    total = of_tasks + of_seeds - of_rest
    if total <= 0:
        return 0.0
    degrees = total**2 / (
        of_tasks**2 / (tasks - 1) + of_seeds**2 / (seeds - 1) + of_rest**2 / ((seeds - 1) * (tasks - 1))
    )
    return -float(special.stdtrit(degrees, tail)) * math.sqrt(total / (seeds * tasks))


def curve_points(seeds: Sequence[Arms], arm: str, k: int) -> dict[float, Interval]:
    """The arm's pass@k by temperature, with 95 % intervals over tasks of the means over seeds."""
    points = {}
    for temperature in seeds[0][arm]:
        table = np.array([list(rates(one[arm][temperature], k).values()) for one in seeds])
        points[temperature] = share_interval(table.mean(axis=0))
    return points


def compare(seeds: Sequence[Arms], ks: Sequence[int], *, confidence: float = 0.95) -> list[Compared]:
    """Every endpoint whose arms were measured, for each k. The intervals of the primary ones hold together, and so do those of
    the others (Bonferroni within each of the two).

    Raises:
        StatisticsError: seeds have other arms, or arms other temperatures or tasks.
    """
    if any(one.keys() != seeds[0].keys() for one in seeds):
        raise StatisticsError("every seed needs the same arms")
    wanted = [(one, k) for one in ENDPOINTS if {one.arm, one.against} <= seeds[0].keys() for k in ks]
    together = Counter(one.primary for one, _ in wanted)
    miss = 1 - open_unit(confidence, "confidence")
    return [
        Compared(endpoint=one, k=k, change=_change(seeds, one, k, 1 - miss / together[one.primary], confidence))
        for one, k in wanted
    ]


def _change(seeds: Sequence[Arms], one: Endpoint, k: int, each: float, confidence: float) -> Interval:
    table = []
    for arms in seeds:
        if arms[one.arm].keys() != arms[one.against].keys():
            raise StatisticsError(f"{one.label}: measured at different temperatures")
        after, before = heights(arms[one.arm], k), heights(arms[one.against], k)
        if list(after) != list(before):
            raise StatisticsError(f"{one.label}: measured on different tasks")
        table.append([after[task] - before[task] for task in before])
    found = crossed_interval(np.array(table), confidence=each)
    return Interval(estimate=found.estimate, low=found.low, high=found.high, confidence=confidence)


def pairs_that_differ(shapes: Sequence[str]) -> float | None:
    """The share of pairs of programs that differ (`metrics.program_syntax.shape`): different programs at equal numbers, whatever
    their number (Hurlbert 1971). None for fewer than two."""
    total = len(shapes)
    if total < 2:
        return None
    alike = sum(count * (count - 1) for count in map(shapes.count, set(shapes)))
    return 1 - alike / (total * (total - 1))
