"""Our examples as Megatron's training rows: token ids and loss mask are ours, nothing is tokenised again.

Megatron-Bridge's own chat data sets supervise the prompt too when a chat template marks no generation (those of Qwen3 and
Llama do not); here a label is a completion token or nothing. A step's examples are those of the embedded backend.
"""

import heapq
import itertools
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.errors import TrainingError
from ssd_plugin.training import packing
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.protocol import TrainJob

Row = dict[str, torch.Tensor]


def multiple_of(config: TrainConfig) -> int:
    """What a row's length must be a multiple of: two chunks a context-parallel rank, a share a tensor-parallel one."""
    p = config.parallel
    return (2 * p.context if p.context > 1 else 1) * (p.tensor if p.sequence else 1)


def plan_rows(lengths: Sequence[int], config: TrainConfig, seed: int, rows: int) -> list[list[list[int]]]:
    """The examples of every row of every step, `rows` rows a step (see `rows_a_step`); their order is the embedded backend's.

    With `batch_unit=samples` a step is its samples, laid end to end in rows of about the same length: one row a sample would
    leave a GPU with a few hundred tokens at a time. With `batch_unit=packs` a row is a pack.

    Raises:
        TrainingError: the samples of a step do not fit so many rows.
    """
    padded = [_padded(length, multiple_of(config)) for length in lengths]
    steps = _steps(padded, config, seed)
    if config.batch_unit == "packs":
        return steps
    laid = [balanced([index for row in step for index in row], padded, rows) for step in steps]
    if rows < config.global_batch_size and any(_room(row, padded, config) < 0 for step in laid for row in step):
        raise TrainingError(f"{rows} rows of train.seq_length = {config.seq_length} do not hold every step's samples")
    return laid


def rows_a_step(lengths: Sequence[int], config: TrainConfig, seed: int, data_parallel: int) -> int:
    """The fewest rows, as many on every one of the `data_parallel` ranks, that hold every step's samples.

    Raises:
        TrainingError: no number of rows does.
    """
    size = config.global_batch_size
    if config.batch_unit == "packs" or config.parallel.pipeline > 2:  # middle stages are not told where examples begin
        return size
    padded = [_padded(length, multiple_of(config)) for length in lengths]
    steps = [[index for row in step for index in row] for step in _steps(padded, config, seed)]
    for rows in range(data_parallel, size + 1, data_parallel):
        if all(_room(row, padded, config) >= 0 for step in steps for row in balanced(step, padded, rows)):
            return rows
    raise TrainingError(
        f"the {size} samples of a step cannot be laid in rows of train.seq_length = {config.seq_length} tokens on "
        f"{data_parallel} data-parallel ranks: raise train.seq_length, or use fewer GPUs"
    )


def balanced(indices: Sequence[int], lengths: Sequence[int], rows: int) -> list[list[int]]:
    """`indices` in `rows` rows of about the same number of tokens: the longest first, each into the shortest row so far."""
    laid: list[list[int]] = [[] for _ in range(rows)]
    heap = [(0, number) for number in range(rows)]
    for index in sorted(indices, key=lambda i: (-lengths[i], i)):
        used, number = heapq.heappop(heap)
        laid[number].append(index)
        heapq.heappush(heap, (used + lengths[index], number))
    return [sorted(row) for row in laid]


def _steps(padded: Sequence[int], config: TrainConfig, seed: int) -> list[packing.Packs]:
    return packing.plan(
        padded,
        seed=seed,
        iterations=config.train_iters,
        batch=config.global_batch_size,
        capacity=_capacity(config),
        unit=config.batch_unit,
    )


def _capacity(config: TrainConfig) -> int:
    """Tokens of a row of several examples: where these are padded, room is left for a segment of padding (see `Rows`)."""
    multiple = multiple_of(config)
    return config.seq_length - (multiple if multiple > 1 else 0)


def _room(row: Sequence[int], padded: Sequence[int], config: TrainConfig) -> int:
    limit = _capacity(config) if len(row) > 1 else config.seq_length
    return limit - sum(padded[index] for index in row)


def _padded(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


class Rows(Dataset[Row]):
    """One micro-batch an item: `tokens`, `labels`, `loss_mask`, `position_ids`, each `(1, tokens)`, padded to `multiple`.

    With several examples in a row, `cu_seqlens` says where each begins (Transformer Engine attends within each);
    `dense_mask` gives the same as an attention mask `(1, 1, tokens, tokens)`, True where attention is forbidden, for the
    attention that knows no `cu_seqlens`.

    Where the last example alone is padded, a segment of nothing but padding follows it: Transformer Engine up to 2.17 looks for
    padding between examples only (its issue 3331) and would let the padding be attended to.
    """

    def __init__(self, examples: Examples, plan: list[list[int]], multiple: int, dense_mask: bool = False) -> None:
        self._examples, self._plan, self._multiple, self._dense_mask = examples, plan, multiple, dense_mask

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: int) -> Row:
        parts = [self._part(i) for i in self._plan[index]]
        true = [len(self._examples[i].token_ids) for i in self._plan[index]]
        if len(parts) > 1 and self._only_the_last_is_padded(parts, true) and not self._dense_mask:
            nothing = torch.zeros(self._multiple, dtype=torch.long)
            parts.append({name: nothing.to(part.dtype) for name, part in parts[0].items()})
            parts[-1]["position_ids"] = torch.arange(self._multiple)
            true.append(self._multiple)
        row = {name: torch.cat([part[name] for part in parts])[None] for name in parts[0]}
        lengths = [len(part["tokens"]) for part in parts]
        if self._dense_mask:
            row["attention_mask"] = _forbidden(lengths)
        elif len(parts) > 1:
            row |= _boundaries(lengths, true)
        return row

    @staticmethod
    def _only_the_last_is_padded(parts: list[Row], true: list[int]) -> bool:
        padded = [len(part["tokens"]) != size for part, size in zip(parts, true, strict=True)]
        return padded[-1] and not any(padded[:-1])

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


def _boundaries(lengths: list[int], true: list[int]) -> Row:
    """Padded and true offsets of the examples, in the form of Bridge's `get_packed_seq_params`."""
    padded = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
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


def read_examples(job: TrainJob, vocabulary: int) -> Examples:
    """The job's examples.

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
    return examples
