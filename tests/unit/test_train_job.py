"""Which jobs are the same: a checkpoint of one is resumed from by the other."""

from dataclasses import replace
from pathlib import Path

from ssd_plugin.recipes import load
from ssd_plugin.training.protocol import TrainJob


def test_a_job_is_another_with_another_base_examples_seed_or_setting_and_the_same_in_another_place(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text("{}\n")
    second.write_text("{}\n{}\n")
    job = TrainJob(
        base_model=tmp_path,
        base_digest="a" * 64,
        examples=first,
        work=tmp_path / "work",
        output=tmp_path / "out",
        seed=1,
        config=load("ssd_smollm2_135m")().train,
    )
    others = [
        replace(job, base_digest="b" * 64),
        replace(job, examples=second),
        replace(job, seed=2),
        replace(job, config=replace(job.config, max_lr=0.5)),
    ]
    assert len({each.identity() for each in (job, *others)}) == 5
    moved = first.rename(tmp_path / "moved.jsonl")
    elsewhere = replace(job, base_model=tmp_path / "copy", examples=moved, work=tmp_path / "w", output=tmp_path / "o")
    first.write_text("{}\n")
    assert elsewhere.identity() == job.identity()
