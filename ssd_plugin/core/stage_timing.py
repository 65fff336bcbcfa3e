"""Where a stage's wall-clock time goes: to the model, to candidate programs, to loading, to checkpoints; the rest is overhead.

Kinds nest, and time counts for the innermost one alone. One process has one account, since a stage is a process.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeVar, get_args

Kind = Literal["model", "programs", "loading", "checkpoints", "gates"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WORK: tuple[Kind, ...] = ("model", "programs")
"""What a run is for: the model's compute and the candidates' programs. All else is overhead."""

Item = TypeVar("Item")


class _Account:
    def __init__(self) -> None:
        self.seconds: defaultdict[Kind, float] = defaultdict(float)
        self._open: list[Kind] = []
        self._since = 0.0

    def turn(self) -> None:
        """Charge the time since the last turn to the innermost kind."""
        now = time.monotonic()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def begin(self, kind: Kind) -> None:
        self.turn()
        self._open.append(kind)

    def end(self) -> None:
        self.turn()
        self._open.pop()


_ACCOUNT = _Account()


@contextmanager
def spent(kind: Kind) -> Iterator[None]:
    """Charge the time inside the block to `kind`, but for what a block inside it charges elsewhere."""
    _ACCOUNT.begin(kind)
    try:
        yield
    finally:
        _ACCOUNT.end()


def spent_on_each(kind: Kind, items: Iterator[Item]) -> Iterator[Item]:
    """The same items; the time until each one comes is charged to `kind`, what is then done with it is not."""
    while True:
        with spent(kind):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def account() -> dict[str, float]:
    """This process' seconds by kind so far; kinds that took none are left out."""
    return {kind: round(seconds, 3) for kind, seconds in sorted(_ACCOUNT.seconds.items()) if seconds >= 0.001}


def overhead(stages: Mapping[str, tuple[float, Mapping[str, float]]]) -> float | None:
    """The share of all stages' seconds that is outside model compute and candidate programs, 0 to 1; `stages` are (seconds,
    seconds by kind). None when nothing was accounted for: a run of an older version."""
    total = sum(seconds for seconds, _ in stages.values())
    work = sum(by_kind.get(kind, 0.0) for _, by_kind in stages.values() for kind in WORK)
    return 1 - work / total if work else None
