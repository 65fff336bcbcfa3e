"""Which samples are not trained on. Each filter is named and counted; none looks at correctness: that is the method."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ssd_plugin.config.schema import FilterConfig
from ssd_plugin.tasks.schema import Sample, sample_from_json

Row = dict[str, Any]

LOOP_REPEATS = 8  # a tail is a loop when its last piece stands there this often in a row
LOOP_PERIOD = 64  # tokens: the longest piece looked for


def is_empty(sample: Sample) -> bool:
    """Nothing but white space."""
    return not sample.completion.strip()


def is_single_line_stub(sample: Sample) -> bool:
    """At most one line that is neither blank nor a code fence."""
    lines = (line.strip() for line in sample.completion.splitlines())
    return sum(bool(line) and not line.startswith("```") for line in lines) <= 1


def is_truncated(sample: Sample) -> bool:
    """Stopped by the length limit, so it has no end."""
    return sample.finish_reason == "length"


def is_loop(sample: Sample) -> bool:
    """Ends in the same piece of up to `LOOP_PERIOD` tokens, `LOOP_REPEATS` times over (characters where there are no ids)."""
    items: tuple[object, ...] = sample.token_ids or tuple(sample.completion)
    for period in range(1, LOOP_PERIOD + 1):
        span = period * LOOP_REPEATS
        if span > len(items):
            return False
        tail = items[-span:]
        if tail[period:] == tail[:-period]:
            return True
    return False


PER_SAMPLE: tuple[tuple[str, Callable[[Sample], bool]], ...] = (
    ("drop_empty", is_empty),
    ("drop_single_line_stubs", is_single_line_stub),
    ("drop_truncated", is_truncated),
    ("drop_loops", is_loop),
)
SHORTEST = "drop_shortest_fraction"
OVER_LENGTH = "drop_over_length"  # always on


def shortest_cutoff(lengths: Counter[int], fraction: float) -> tuple[int, int]:
    """(length, how many of exactly that length) up to which samples are dropped, so that `fraction` of them goes.

    `lengths` counts completions by characters: memory grows with distinct lengths, not with samples.
    """
    quota = int(fraction * lengths.total())
    for length in sorted(lengths):
        if quota < lengths[length]:
            return length, quota
        quota -= lengths[length]
    return 0, 0


@dataclass(frozen=True, kw_only=True)
class FilterCount:
    """How many samples one filter dropped; each sample counts for the first filter that drops it."""

    name: str
    enabled: bool
    dropped: int


class Filters:
    """The filters of a config, in the order of the report; `counts` is complete once `apply` is exhausted.

    `seq_length` (tokens) bounds prompt and completion together: what does not fit cannot be trained on.
    """

    def __init__(self, config: FilterConfig, seq_length: int) -> None:
        """Nothing is read yet."""
        self._tests = [(name, test, getattr(config, name)) for name, test in PER_SAMPLE]
        self._fraction = config.drop_shortest_fraction
        self._seq_length = seq_length
        self._dropped: Counter[str] = Counter()

    def _reason(self, row: Row) -> str | None:
        sample = sample_from_json(row)
        for name, test, enabled in self._tests:
            if enabled and test(sample):
                return name
        tokens = len(row.get("prompt_token_ids", ())) + len(sample.token_ids)
        return OVER_LENGTH if tokens > self._seq_length else None

    def apply(self, read: Callable[[], Iterable[Row]]) -> Iterator[Row]:
        """Yield the samples-file rows that stay, in order; `read` opens the stream anew, as the shortest fraction needs
        two passes. Memory does not grow with the rows."""
        cutoff, at_cutoff = 0, 0
        if self._fraction:
            lengths = Counter(len(row["completion"]) for row in read() if self._reason(row) is None)
            cutoff, at_cutoff = shortest_cutoff(lengths, self._fraction)
        for row in read():
            reason = self._reason(row)
            length = len(row["completion"])
            if reason is None and (length < cutoff or (length == cutoff and at_cutoff > 0)):
                at_cutoff -= length == cutoff
                reason = SHORTEST
            if reason is None:
                yield row
            else:
                self._dropped[reason] += 1

    @property
    def counts(self) -> list[FilterCount]:
        """Every filter, off or on."""
        rows = [FilterCount(name=name, enabled=on, dropped=self._dropped[name]) for name, _, on in self._tests]
        rows.append(FilterCount(name=SHORTEST, enabled=self._fraction > 0, dropped=self._dropped[SHORTEST]))
        return [*rows, FilterCount(name=OVER_LENGTH, enabled=True, dropped=self._dropped[OVER_LENGTH])]
