"""Which examples train together: order of the epochs, global batches, and packs without padding."""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy
import torch

from ssd_plugin.training.examples import Example, Examples

Packs = list[list[int]]
"""Example indices, pack by pack."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Whole examples in one row. Position ids start again at 0 in each; `boundaries` are where examples begin and the last
    one ends. `label_positions`: places whose next token carries loss; `labels`: that token."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    boundaries: list[int]
    label_positions: torch.Tensor
    labels: torch.Tensor


def plan(
    lengths: Sequence[int], *, seed: int, iterations: int, batch: int, capacity: int, unit: Literal["samples", "packs"]
) -> list[Packs]:
    """The packs of every optimizer step. Examples come in a new seeded order each epoch, and again until the steps are full.

    `unit="samples"`: a step has `batch` examples, in as few packs as first-fit decreasing finds. `unit="packs"`: a step
    has `batch` packs, each filled in order until the next example does not fit.
    """
    order = _endless_order(len(lengths), seed)
    if unit == "samples":
        return [pack(list(itertools.islice(order, batch)), lengths, capacity) for _ in range(iterations)]
    packs = _packs_in_order(order, lengths, capacity)
    return [list(itertools.islice(packs, batch)) for _ in range(iterations)]


def _endless_order(count: int, seed: int) -> Iterator[int]:
    for epoch in itertools.count():
        yield from numpy.random.Generator(numpy.random.Philox(key=[seed, epoch])).permutation(count).tolist()


def _packs_in_order(order: Iterator[int], lengths: Sequence[int], capacity: int) -> Iterator[list[int]]:
    current: list[int] = []
    used = 0
    for index in order:
        if current and used + lengths[index] > capacity:
            yield current
            current, used = [], 0
        current.append(index)
        used += lengths[index]


def pack(indices: Sequence[int], lengths: Sequence[int], capacity: int) -> Packs:
    """Best-fit decreasing: the longest example first, each into the fullest pack that still has room.

    No example is longer than `capacity`.
    """
    rooms: list[tuple[int, int]] = []
    packs: Packs = []
    for index in sorted(indices, key=lambda i: -lengths[i]):
        at = bisect.bisect_left(rooms, (lengths[index], -1))
        room, number = rooms.pop(at) if at < len(rooms) else (capacity, len(packs))
        if number == len(packs):
            packs.append([])
        packs[number].append(index)
        bisect.insort(rooms, (room - lengths[index], number))
    return packs


def build(examples: Examples | Sequence[Example], indices: Sequence[int]) -> Pack:
    """Lay examples end to end. A label is only ever a completion token, predicted from the token before it in its own example."""
    chosen = [examples[i] for i in indices]
    boundaries = [0, *itertools.accumulate(len(e.token_ids) for e in chosen)]
    tokens = torch.tensor(list(itertools.chain.from_iterable(e.token_ids for e in chosen)))
    spans = [
        torch.arange(start + e.prompt_length, start + len(e.token_ids))
        for start, e in zip(boundaries, chosen, strict=False)
    ]
    labelled = torch.cat(spans)
    return Pack(
        input_ids=tokens[None],
        position_ids=torch.cat([torch.arange(len(e.token_ids)) for e in chosen])[None],
        boundaries=boundaries,
        label_positions=labelled - 1,
        labels=tokens[labelled],
    )
