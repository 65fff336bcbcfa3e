"""Rows laid out for the model: the student's pack, the teacher's with the same completions in the same order, and per token
what the loss needs."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch

from ssd_plugin.errors import TrainingError
from ssd_plugin.methods.routes import Branch
from ssd_plugin.training import packing
from ssd_plugin.training.examples import Example
from ssd_plugin.training.learner import Row
from ssd_plugin.training.losses.objective import Tokens
from ssd_plugin.training.packing import Pack


@dataclass(frozen=True, kw_only=True)
class RowPack:
    """Rows that go through the model together. `teacher` has the teacher rows alone; None where there are none."""

    rows: tuple[Row, ...]
    student: Pack
    teacher: Pack | None
    shares: tuple[float, ...]

    def chosen(self, branch: Branch) -> torch.Tensor:
        """Which of the student's labelled positions belong to rows of a branch, "labels" of booleans."""
        counts = torch.tensor([row.loss_tokens for row in self.rows])
        return torch.tensor([row.branch == branch for row in self.rows]).repeat_interleave(counts)

    def tokens(self, branch: Branch, values: torch.Tensor | None, device: torch.device) -> Tokens:
        """The tokens of a branch, in the order of the packs. `values`: the teacher tokens' weights; a policy token's is its
        row's advantage."""
        rows = [(row, share) for row, share in zip(self.rows, self.shares, strict=True) if row.branch == branch]
        counts = torch.tensor([row.loss_tokens for row, _ in rows])

        def spread(per_row: list[float]) -> torch.Tensor:
            return torch.tensor(per_row, dtype=torch.float32).repeat_interleave(counts).to(device)

        ids = torch.tensor(list(chain.from_iterable(row.completion[row.skip :] for row, _ in rows)), dtype=torch.long)
        sampler = torch.tensor(
            list(chain.from_iterable(row.sampler[row.skip :] for row, _ in rows)), dtype=torch.float32
        )
        return Tokens(
            ids=ids.to(device),
            sampler=sampler.to(device),
            share=spread([share for _, share in rows]),
            value=spread([row.advantage for row, _ in rows]) if values is None else values,
        )


def pack_rows(rows: Sequence[Row], per: Literal["tokens", "rows"], capacity: int) -> list[RowPack]:
    """The packs of a batch. Each token's share is one over the batch's loss tokens (`per="tokens"`), or one over its row's and
    over all the batch's rows, those without loss included (`per="rows"`).

    Raises:
        TrainingError: a row does not fit the capacity (tokens).
    """
    used = [row for row in rows if row.loss_tokens]
    lengths = [max(len(row.prompt), len(row.teacher_prompt)) + len(row.completion) for row in used]
    if max(lengths, default=0) > capacity:
        raise TrainingError(
            f"a row of {max(lengths)} tokens does not fit train.seq_length = {capacity}; raise that, or lower "
            "rollout.max_new_tokens"
        )
    total = sum(row.loss_tokens for row in used)
    shares = [1 / total if per == "tokens" else 1 / (row.loss_tokens * len(rows)) for row in used]
    return [
        _row_pack([used[i] for i in indices], [shares[i] for i in indices])
        for indices in packing.pack(range(len(used)), lengths, capacity)
    ]


def _row_pack(rows: list[Row], shares: list[float]) -> RowPack:
    taught = [row for row in rows if row.branch == "teacher"]
    return RowPack(
        rows=tuple(rows),
        student=_pack([(row.prompt, row) for row in rows]),
        teacher=_pack([(row.teacher_prompt, row) for row in taught]) if taught else None,
        shares=tuple(shares),
    )


def _pack(rows: list[tuple[tuple[int, ...], Row]]) -> Pack:
    examples = [
        Example(token_ids=array("i", prompt + row.completion), prompt_length=len(prompt) + row.skip)
        for prompt, row in rows
    ]
    return packing.build(examples, range(len(examples)))
