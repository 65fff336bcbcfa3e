"""A finished evaluation (evaluate/summary.json) as its readers get it: whole and of the right types, or refused."""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path

from ssd_plugin.config.parsing import build
from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.core.run_layout import EVALUATED
from ssd_plugin.errors import ConfigError, DataError

PAIRS = tuple(f"{second}-{first}" for first, second in itertools.combinations(EVALUATED, 2))
GROUPINGS = ("by_domain", "by_difficulty")


def labels(candidate: str) -> dict[str, str]:
    """What readers see for each side; `candidate`: the method's name for what it makes."""
    return dict(zip(EVALUATED, ("base", "base at its best decode", candidate), strict=True))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over tasks (-1 to 1) with its interval; a single task has no interval."""

    estimate: float
    low: float | None = None
    high: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        if not -1 <= self.estimate <= 1:
            raise ConfigError(f"estimate = {self.estimate} is not allowed; allowed: -1 to 1")
        if (self.low is None) != (self.high is None):
            raise ConfigError("low and high are needed both, or neither")

    def to_json(self) -> dict[str, float]:
        """The numbers that are there."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class _PassAt:
    pass_at_1: Estimate
    pass_at_5: Estimate | None = None
    pass_at_10: Estimate | None = None

    @property
    def pass_at(self) -> dict[int, Estimate]:
        """What was measured, by k, from 1 up."""
        found = {1: self.pass_at_1, 5: self.pass_at_5, 10: self.pass_at_10}
        return {k: estimate for k, estimate in found.items() if estimate is not None}


@dataclass(frozen=True, kw_only=True)
class PassRates(_PassAt):
    """pass@k over some tasks."""

    tasks: int


@dataclass(frozen=True, kw_only=True)
class EvaluatedSide(PassRates):
    """One model under one decoding config. `statuses` counts samples; `truncated`: the share that hit the length limit."""

    label: str
    decode: DecodeConfig
    statuses: dict[str, int]
    truncated: float
    by_domain: dict[str, PassRates]
    by_difficulty: dict[str, PassRates]


@dataclass(frozen=True, kw_only=True)
class PairedChange(_PassAt):
    """One side minus another, paired by task; pass@1 also by group, with intervals that hold all together."""

    by_domain: dict[str, Estimate]
    by_difficulty: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`sides` has the keys of `EVALUATED`, `deltas` those of `PAIRS`; every side has the same groups of tasks."""

    tasks: int
    samples_per_task: int
    sides: dict[str, EvaluatedSide]
    deltas: dict[str, PairedChange]

    def __post_init__(self) -> None:
        for name, found, needed in (("sides", self.sides, EVALUATED), ("deltas", self.deltas, PAIRS)):
            if set(found) != set(needed):
                raise ConfigError(f"{name} = {', '.join(found) or 'none'} is not allowed; needed: {', '.join(needed)}")
        rows = {f"sides.{name}": side for name, side in self.sides.items()}
        known = rows["sides.base"]
        for name, row in {**rows, **{f"deltas.{pair}": delta for pair, delta in self.deltas.items()}}.items():
            if row.pass_at.keys() != known.pass_at.keys():
                raise ConfigError(f"{name} has other pass_at_k than sides.base")
            for grouping in GROUPINGS:
                if getattr(row, grouping).keys() != getattr(known, grouping).keys():
                    raise ConfigError(f"{name}.{grouping} has other groups than sides.base")


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation that the stage `evaluate` wrote.

    Raises:
        DataError: there is none, or a field is missing, unknown or wrong (names the file and the field).
    """
    document = read_json(path)
    try:
        return build(Evaluation, document, "evaluation")
    except ConfigError as error:
        raise DataError(f"{path}: {error}; restore it, or delete it and run: ssd evaluate --run-dir DIR") from error
