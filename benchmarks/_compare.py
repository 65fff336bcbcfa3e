"""Has a ratio dropped since it was committed, by more than the noise of both measurements?"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import special

FALSE_ALARMS = 0.01  # one-sided: how often equal speeds would be called a drop
IGNORED = 0.05  # a drop of less is not worth a red build, however still the machine was


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One ratio (ours over the peer's, so more is better): geometric means of the rounds, and the drop that noise explains."""

    name: str
    committed: float
    now: float
    noise: float
    failure: str

    @property
    def drop(self) -> float:
        """The share that was lost; negative for a gain."""
        return 1 - self.now / self.committed if self.committed else 0.0


def compare(name: str, committed: Sequence[float] | None, now: Sequence[float]) -> Comparison:
    """A two-sample t test on the logarithms of the rounds' ratios, the rounds' spread being the noise."""
    if committed is None:
        return _refused(name, "no committed ratio: python benchmarks/quick.py --write")
    for side, ratios in (("committed", committed), ("now", now)):
        if len(ratios) < 2 or not all(math.isfinite(ratio) and ratio > 0 for ratio in ratios):
            return _refused(
                name, f"{side}: two rounds or more with positive ratios are needed, there is {list(ratios)}"
            )
    before, after = ([math.log(ratio) for ratio in ratios] for ratios in (committed, now))
    noise = max(IGNORED, 1 - math.exp(-_explained(before, after)))
    levels = [math.exp(statistics.fmean(logs)) for logs in (before, after)]
    found = Comparison(name=name, committed=levels[0], now=levels[1], noise=noise, failure="")
    if found.drop <= noise:
        return found
    failure = f"dropped by {found.drop:.0%}, noise explains {noise:.0%}"
    return Comparison(name=name, committed=levels[0], now=levels[1], noise=noise, failure=failure)


def _refused(name: str, why: str) -> Comparison:
    return Comparison(name=name, committed=0.0, now=0.0, noise=0.0, failure=why)


def _explained(before: Sequence[float], after: Sequence[float]) -> float:
    """The difference of means that two samples of one distribution exceed in `FALSE_ALARMS` of all cases."""
    counts = [len(before), len(after)]
    freedom = sum(counts) - 2
    squares = sum((len(side) - 1) * statistics.variance(side) for side in (before, after))
    return float(
        special.stdtrit(freedom, 1 - FALSE_ALARMS) * math.sqrt(squares / freedom * sum(1 / count for count in counts))
    )


def compare_all(committed: Mapping[str, Sequence[float]], now: Mapping[str, Sequence[float]]) -> list[Comparison]:
    """Every ratio of either side; one that was committed and is not measured any more fails."""
    found = [compare(name, committed.get(name), ratios) for name, ratios in now.items()]
    return found + [_refused(name, "was committed and is not measured") for name in committed if name not in now]
