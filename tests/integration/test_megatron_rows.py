"""The rows that Megatron trains on, made from our examples: needs torch, not Megatron."""

import json
from pathlib import Path

import pytest
import torch

from ssd_plugin.config.schema import ParallelConfig, TrainConfig
from ssd_plugin.errors import DependencyError, TrainingError
from ssd_plugin.training import packing
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.megatron import MegatronTrainer
from ssd_plugin.training.megatron.job import job_from_json, job_to_json
from ssd_plugin.training.megatron.rows import Rows, balanced, multiple_of, plan_rows, read_examples, rows_a_step
from ssd_plugin.training.protocol import TrainJob

LENGTHS = [(3, 5), (4, 9), (2, 2), (7, 13), (1, 6), (5, 1)]  # prompt and completion tokens


def make_job(folder: Path, unit: str = "samples", seq_length: int = 32, **parallel: object) -> TrainJob:
    rows, start = [], 10
    for prompt, completion in LENGTHS:
        ids = list(range(start, start + prompt + completion))
        rows.append({"prompt_token_ids": ids[:prompt], "completion_token_ids": ids[prompt:]})
        start += 20
    (folder / "kept.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = TrainConfig(
        backend="megatron", train_iters=5, save_interval=2, max_lr=1e-3, min_lr=1e-4, global_batch_size=4,
        seq_length=seq_length, batch_unit=unit, parallel=ParallelConfig(**parallel),  # type: ignore[arg-type]
    )  # fmt: skip
    return TrainJob(
        base_model=folder,
        base_digest="0" * 64,
        examples=folder / "kept.jsonl",
        work=folder / "work",
        output=folder / "out",
        seed=4,
        config=config,
    )


def rows_of(job: TrainJob, dense_mask: bool = False) -> tuple[Examples, list[list[int]], Rows]:
    examples = read_examples(job, 200)
    rows = rows_a_step(examples.lengths, job.config, job.seed, 1)
    plan = [row for step in plan_rows(examples.lengths, job.config, job.seed, rows) for row in step]
    return examples, plan, Rows(examples, plan, multiple_of(job.config), dense_mask)


@pytest.mark.parametrize("unit", ["samples", "packs"])
@pytest.mark.parametrize(
    "parallel", [{}, {"context": 2}, {"tensor": 2, "sequence": True}, {"context": 2, "tensor": 2, "sequence": True}]
)
def test_loss_falls_on_completion_tokens_and_on_no_other(
    tmp_path: Path, unit: str, parallel: dict[str, object]
) -> None:
    examples, plan, rows = rows_of(make_job(tmp_path, unit, **parallel))
    assert len(rows) % 5 == 0
    for indices, row in zip(plan, (rows[i] for i in range(len(rows))), strict=True):
        labelled = row["labels"][row["loss_mask"] == 1].tolist()
        expected = [t for i in indices for t in examples[i].token_ids[examples[i].prompt_length :]]
        assert labelled == expected
        before = row["tokens"][row["loss_mask"] == 1].tolist()
        assert before == [t - 1 for t in expected]  # each label is predicted from the token before it
        assert row["tokens"].shape == row["position_ids"].shape == row["labels"].shape
        assert row["tokens"].shape[1] % multiple_of(make_job(tmp_path, unit, **parallel).config) == 0
        assert row["tokens"].shape[1] <= 32


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_steps_examples_are_the_embedded_backends(tmp_path: Path, rows: int) -> None:
    job = make_job(tmp_path, seq_length=64)
    lengths = read_examples(job, 200).lengths
    steps = packing.plan(lengths, seed=4, iterations=5, batch=4, capacity=64, unit="samples")
    laid = plan_rows(lengths, job.config, 4, rows)
    for step, ours in zip(steps, laid, strict=True):
        assert len(ours) == rows
        assert all(ours)
        assert sorted(i for row in ours for i in row) == sorted(i for pack in step for i in pack)
    packed = make_job(tmp_path, "packs")
    whole = packing.plan(lengths, seed=4, iterations=5, batch=4, capacity=32, unit="packs")
    assert plan_rows(lengths, packed.config, 4, 4) == whole


def test_rows_are_as_few_as_hold_every_step_and_as_many_on_every_rank(tmp_path: Path) -> None:
    def rows(seq_length: int, ranks: int, **parallel: object) -> int:
        job = make_job(tmp_path, seq_length=seq_length, **parallel)
        return rows_a_step(read_examples(job, 200).lengths, job.config, job.seed, ranks)

    assert rows(64, 1) == 1
    assert rows(64, 2) == 2
    assert rows(64, 4) == 4
    assert rows(20, 1) > 1
    assert rows(20, 2) in (2, 4)
    assert rows(64, 1, pipeline=3) == 4  # its middle stages are not told where examples begin
    with pytest.raises(TrainingError, match=r"cannot be laid in rows .* on 8 data-parallel ranks"):
        rows(64, 8)


@pytest.mark.parametrize(("lengths", "rows"), [([8, 7, 6, 5, 4, 3, 2, 1], 2), ([9, 1, 1, 1], 2), ([5, 5, 5], 3)])
def test_rows_are_balanced(lengths: list[int], rows: int) -> None:
    laid = balanced(range(len(lengths)), lengths, rows)
    sums = [sum(lengths[i] for i in row) for row in laid]
    assert max(sums) - min(sums) <= max(lengths)
    assert sorted(i for row in laid for i in row) == list(range(len(lengths)))


def test_one_rows_loss_is_that_of_its_samples(tmp_path: Path) -> None:
    """The same labels under the same tokens of their own example, whatever row they are in: the loss by token is the same."""

    def labelled(ranks: int) -> list[tuple[tuple[int, ...], int]]:
        job = make_job(tmp_path, seq_length=64)
        examples = read_examples(job, 200)
        rows = rows_a_step(examples.lengths, job.config, job.seed, ranks)
        plan = [row for step in plan_rows(examples.lengths, job.config, job.seed, rows) for row in step]
        found = []
        for row in (Rows(examples, plan, 1, dense_mask=True)[i] for i in range(len(plan))):
            seen = ~row["attention_mask"][0, 0]
            places = row["loss_mask"][0].nonzero()[:, 0].tolist()
            found += [(tuple(row["tokens"][0][seen[at]].tolist()), int(row["labels"][0, at])) for at in places]
        return sorted(found)

    assert labelled(1) == labelled(2) == labelled(4)


def test_padding_behind_the_last_example_alone_is_a_segment_of_its_own(tmp_path: Path) -> None:
    """Examples of 8 and 13 tokens, padded to multiples of 4: in this order only the last one is."""
    job = make_job(tmp_path, seq_length=64, context=2)
    examples = read_examples(job, 200)
    row = Rows(examples, [[0, 1]], 4)[0]  # 8 and 13 tokens
    assert row["cu_seqlens"][0].diff().tolist() == [8, 16, 4]
    assert row["cu_seqlens_unpadded"][0].diff().tolist() == [8, 13, 4]
    assert row["loss_mask"][0, -4:].tolist() == [0] * 4
    assert row["tokens"].shape == row["position_ids"].shape == (1, 28)
    between = Rows(examples, [[1, 0]], 4)[0]
    assert between["cu_seqlens"][0].diff().tolist() == [16, 8]


def test_boundaries_of_a_pack(tmp_path: Path) -> None:
    examples, plan, rows = rows_of(make_job(tmp_path, "packs", context=2))
    index = next(i for i, pack in enumerate(plan) if len(pack) > 1)
    row, sizes = rows[index], [len(examples[i].token_ids) for i in plan[index]]
    padded = [-(-size // 4) * 4 for size in sizes]
    assert row["cu_seqlens"][0].diff().tolist() == padded
    assert row["cu_seqlens_unpadded"][0].diff().tolist() == sizes
    assert row["max_seqlen"].item() == max(padded)
    assert row["position_ids"][0, : padded[0]].tolist() == list(range(padded[0]))
    assert row["position_ids"][0, padded[0]] == 0


def test_the_dense_mask_lets_a_token_see_its_own_examples_past(tmp_path: Path) -> None:
    _, plan, rows = rows_of(make_job(tmp_path, "packs"), dense_mask=True)
    index = next(i for i, pack in enumerate(plan) if len(pack) > 1)
    allowed = ~rows[index]["attention_mask"][0, 0]
    positions = rows[index]["position_ids"][0]
    assert torch.equal(allowed.sum(1), positions + 1)
    assert torch.equal(allowed, allowed.tril())


def test_examples_without_room_for_padding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not fit"):
        read_examples(make_job(tmp_path, seq_length=19), 200)
    with pytest.raises(TrainingError, match="multiple of 8"):
        read_examples(make_job(tmp_path, seq_length=21, context=4), 200)


def test_the_job_survives_its_file(tmp_path: Path) -> None:
    job = make_job(tmp_path, context=2)
    assert job_from_json(json.loads(json.dumps(job_to_json(job)))) == job


def test_a_missing_bridge_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(DependencyError, match="megatron-bridge"):
        MegatronTrainer().train(make_job(tmp_path))
