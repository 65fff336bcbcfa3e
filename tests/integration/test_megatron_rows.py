"""The rows that Megatron trains on, made from our examples: needs torch, not Megatron."""

import json
from pathlib import Path

import pytest
import torch

from ssd_plugin.config import ParallelConfig, TrainConfig
from ssd_plugin.errors import DependencyError, TrainingError
from ssd_plugin.training import packing
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.megatron import MegatronTrainer
from ssd_plugin.training.megatron.job import job_from_json, job_to_json
from ssd_plugin.training.megatron.rows import Rows, multiple_of, plan_rows, read_examples
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
    examples, plan = read_examples(job, 200)
    return examples, plan, Rows(examples, plan, multiple_of(job.config), dense_mask)


@pytest.mark.parametrize("unit", ["samples", "packs"])
@pytest.mark.parametrize(
    "parallel", [{}, {"context": 2}, {"tensor": 2, "sequence": True}, {"context": 2, "tensor": 2, "sequence": True}]
)
def test_loss_falls_on_completion_tokens_and_on_no_other(
    tmp_path: Path, unit: str, parallel: dict[str, object]
) -> None:
    examples, plan, rows = rows_of(make_job(tmp_path, unit, **parallel))
    assert len(rows) == 5 * 4
    for indices, row in zip(plan, (rows[i] for i in range(len(rows))), strict=True):
        labelled = row["labels"][row["loss_mask"] == 1].tolist()
        expected = [t for i in indices for t in examples[i].token_ids[examples[i].prompt_length :]]
        assert labelled == expected
        before = row["tokens"][row["loss_mask"] == 1].tolist()
        assert before == [t - 1 for t in expected]  # each label is predicted from the token before it
        assert row["tokens"].shape == row["position_ids"].shape == row["labels"].shape
        assert row["tokens"].shape[1] % multiple_of(make_job(tmp_path, unit, **parallel).config) == 0
        assert row["tokens"].shape[1] <= 32


def test_a_steps_examples_are_the_embedded_backends(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    examples, plan, _ = rows_of(job)
    steps = packing.plan(examples.lengths, seed=4, iterations=5, batch=4, capacity=32, unit="samples")
    for number, step in enumerate(steps):
        assert [i for row in plan[4 * number : 4 * number + 4] for i in row] == sorted(i for pack in step for i in pack)
    packed = make_job(tmp_path, "packs")
    assert plan_rows(examples.lengths, packed.config, 4) == [
        pack
        for step in packing.plan(examples.lengths, seed=4, iterations=5, batch=4, capacity=32, unit="packs")
        for pack in step
    ]


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
