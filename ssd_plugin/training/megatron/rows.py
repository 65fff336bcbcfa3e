"""Our examples as Megatron's training rows: token ids and loss mask are ours, nothing is tokenised again.

Megatron-Bridge's own chat data sets supervise the prompt too when a chat template marks no generation (those of Qwen3 and
Llama do not); here a label is a completion token or nothing. A step's examples are those of the embedded backend.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from ssd_plugin.config import TrainConfig
from ssd_plugin.errors import TrainingError
from ssd_plugin.training import packing
from ssd_plugin.training.examples import Examples

Row = dict[str, torch.Tensor]


def multiple_of(config: TrainConfig) -> int:
    """What a row's length must be a multiple of: two chunks a context-parallel rank, a share a tensor-parallel one."""
    p = config.parallel
    return (2 * p.context if p.context > 1 else 1) * (p.tensor if p.sequence else 1)


def plan_rows(lengths: Sequence[int], config: TrainConfig, seed: int) -> list[list[int]]:
    """The examples of every row, `global_batch_size` rows a step: one example a row, or with `batch_unit=packs` as many
    as fit. The order of the examples is the embedded backend's."""
    steps = packing.plan(
        [_padded(length, multiple_of(config)) for length in lengths],
        seed=seed,
        iterations=config.train_iters,
        batch=config.global_batch_size,
        capacity=config.seq_length,
        unit=config.batch_unit,
    )
    if config.batch_unit == "samples":
        return [[index] for step in steps for index in sorted(itertools.chain.from_iterable(step))]
    return [pack for step in steps for pack in step]


def _padded(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


class Rows(Dataset[Row]):
    """One micro-batch an item: `tokens`, `labels`, `loss_mask`, `position_ids`, each `(1, tokens)`, padded to `multiple`.

    With several examples in a row, `cu_seqlens` says where each begins (Transformer Engine attends within each);
    `dense_mask` gives the same as an attention mask `(1, 1, tokens, tokens)`, True where attention is forbidden, for the
    attention that knows no `cu_seqlens`.
    """

    def __init__(self, examples: Examples, plan: list[list[int]], multiple: int, dense_mask: bool = False) -> None:
        self._examples, self._plan, self._multiple, self._dense_mask = examples, plan, multiple, dense_mask

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: int) -> Row:
        parts = [self._part(i) for i in self._plan[index]]
        row = {name: torch.cat([part[name] for part in parts])[None] for name in parts[0]}
        lengths = [len(part["tokens"]) for part in parts]
        if self._dense_mask:
            row["attention_mask"] = _forbidden(lengths)
        elif len(parts) > 1:
            row |= self._boundaries(index, lengths)
        return row

    def collate_fn(self, rows: list[Row]) -> Row:
        """Micro-batches hold one row: rows differ in length."""
        (row,) = rows
        return row

    def _part(self, index: int) -> Row:
        example = self._examples[index]
        ids = torch.tensor(example.token_ids)
        size = len(ids)
        room = _padded(size, self._multiple)
        labels, mask, tokens = (
            torch.zeros(room, dtype=torch.long),
            torch.zeros(room),
            torch.zeros(room, dtype=torch.long),
        )
        tokens[:size] = ids
        labels[: size - 1] = ids[1:]
        mask[example.prompt_length - 1 : size - 1] = 1.0
        return {"tokens": tokens, "labels": labels, "loss_mask": mask, "position_ids": torch.arange(room)}

    def _boundaries(self, index: int, lengths: list[int]) -> Row:
        """Padded and true offsets of the examples, in the form of Bridge's `get_packed_seq_params`."""
        padded = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
        true = [len(self._examples[i].token_ids) for i in self._plan[index]]
        found: Row = {
            "cu_seqlens": padded[None],
            "cu_seqlens_argmin": torch.tensor([[len(padded)]]),
            "max_seqlen": torch.tensor([[max(lengths)]]),
        }
        if true != lengths:
            unpadded = torch.tensor([0, *itertools.accumulate(true)], dtype=torch.int32)
            found |= {
                "cu_seqlens_unpadded": unpadded[None],
                "cu_seqlens_unpadded_argmin": torch.tensor([[len(unpadded)]]),
            }
        return found


def _forbidden(lengths: list[int]) -> torch.Tensor:
    example = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    later = torch.ones(len(example), len(example), dtype=torch.bool).triu(1)
    return (later | (example[:, None] != example[None]))[None, None]


def read_examples(job: Any, vocabulary: int) -> tuple[Examples, list[list[int]]]:
    """The job's examples and the rows of all steps.

    Raises:
        TrainingError: examples that do not fit, or a token outside the vocabulary.
    """
    examples = Examples(job.examples, seq_length=job.config.seq_length, vocabulary=vocabulary)
    multiple = multiple_of(job.config)
    if max(_padded(length, multiple) for length in examples.lengths) > job.config.seq_length:
        raise TrainingError(
            f"train.seq_length = {job.config.seq_length} leaves no room to pad the longest example to a multiple of "
            f"{multiple}; make seq_length one"
        )
    return examples, plan_rows(examples.lengths, job.config, job.seed)
