"""Samples that are draws of their own, for figures that depend on how many there are: pass@k and variety.

A mean does not change when every sample is given twice; pass@k and the variety of k answers would, and ten copies of one answer
are no ten tries. So what a side repeats alike in every task counts once.
"""

import math
from collections import Counter

from ssd_plugin.gating.gate import GateContext, Side
from ssd_plugin.tasks.schema import Result

Draws = dict[str, list[Result]]


def _answer(row: Result) -> tuple[str, str]:
    return row.completion, row.status


def _without_copies(side: Side) -> Draws:
    """The side's rows by task: where each answer of each task is there a multiple of g times, one in g of them."""
    counts = {task: Counter(map(_answer, rows)) for task, rows in side.by_task.items()}
    copies = math.gcd(*(count for found in counts.values() for count in found.values()))
    if copies < 2:
        return side.by_task
    return {
        task: [row for answer, count in counts[task].items() for row in _first(rows, answer, count // copies)]
        for task, rows in side.by_task.items()
    }


def _first(rows: list[Result], answer: tuple[str, str], count: int) -> list[Result]:
    return [row for row in rows if _answer(row) == answer][:count]


def draws(context: GateContext) -> tuple[Draws, Draws]:
    """Baseline's and candidate's samples by task, copies left out.

    A side that gives a single answer to each task beside one that varies has repeated itself; its samples stay.
    """
    sides = (context.baseline, context.candidate)
    found = [_without_copies(side) for side in sides]
    single = [fewest(one) < 2 for one in found]
    if single[0] != single[1]:
        found = [side.by_task if alone else one for side, one, alone in zip(sides, found, single, strict=True)]
    return found[0], found[1]


def fewest(side: Draws) -> int:
    """The fewest samples that any task has; 0 without tasks."""
    return min(map(len, side.values()), default=0)
