"""How alike a side's answers to one task are, and how long: what a collapse shows before pass@1 does."""

import itertools
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from ssd_plugin.core.processes import starting
from ssd_plugin.errors import DataError
from ssd_plugin.metrics.program_syntax import shape

_WORDS = re.compile(r"\w+|[^\w\s]")
MAX_CHARACTERS = 20_000  # of a program that are looked at


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """One task's samples. `distinct`: share of different normalised syntax trees; `similarity`: mean Jaccard overlap of the
    word trigrams of two samples (0 to 1); `lines`: mean length."""

    distinct: float
    similarity: float
    lines: float


def _trigrams(program: str) -> frozenset[tuple[str, ...]]:
    words = _WORDS.findall(program)
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def _overlap(one: frozenset[tuple[str, ...]], two: frozenset[tuple[str, ...]]) -> float:
    together = len(one | two)
    return len(one & two) / together if together else 1.0


def of_task(programs: Sequence[str]) -> Diversity:
    """The figures of one task's samples; two or more are needed for a similarity.

    Raises:
        DataError: fewer than two programs.
    """
    if len(programs) < 2:
        raise DataError("diversity needs two samples a task or more")
    seen = [program[:MAX_CHARACTERS] for program in programs]
    pairs = [_overlap(one, two) for one, two in itertools.combinations([_trigrams(program) for program in seen], 2)]
    return Diversity(
        distinct=len({shape(program) for program in seen}) / len(seen),
        similarity=sum(pairs) / len(pairs),
        lines=sum(len(program.splitlines()) for program in seen) / len(seen),
    )


def of_side(programs: Mapping[str, Sequence[str]]) -> dict[str, Diversity]:
    """`of_task` for every task, in a process of its own: a program made to crash the parser costs that process only.

    Raises:
        DataError: the process died, or as `of_task`.
    """
    with starting([__name__]) as context, ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            figures = list(pool.map(of_task, programs.values(), chunksize=64))
        except BrokenProcessPool as error:
            raise DataError("a program crashed the parser: its diversity cannot be measured") from error
    return dict(zip(programs, figures, strict=True))
