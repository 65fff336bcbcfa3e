"""Megatron-Bridge on NVIDIA GPUs with Transformer Engine, through our trainer: losses against transformers' own, packed rows,
the parallel sizes that the GPUs here allow; speed and memory, printed.

The trainer compares the exported model's logits with Megatron's in each of them.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from gpu_facts import GPUS, needs_gpu, peak_memory, show

from ssd_plugin.config.schema import ParallelConfig, TrainConfig
from ssd_plugin.models.weights import model_digest
from ssd_plugin.training.megatron import MegatronTrainer
from ssd_plugin.training.protocol import TrainJob

sys.path.insert(0, str(Path(__file__).with_name("megatron_cpu")))
import tiny


def _missing(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs the package {package}")


pytestmark = [pytest.mark.gpu, needs_gpu, _missing("megatron"), _missing("transformer_engine")]

STEPS, BATCH = 6, 16
SHAPE = {
    "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 2048,
}  # fmt: skip
NEAR = 0.03  # nats a label: bfloat16 against float32, and sums in another order


def make_job(folder: Path, kind: str = "qwen3", **changes: Any) -> TrainJob:
    """Six steps over a batch that holds every example, so that the first loss does not depend on their order."""
    settings: dict[str, Any] = {
        "train_iters": STEPS, "warmup_iters": 1, "save_interval": STEPS, "max_lr": 1e-3, "min_lr": 1e-4,
        "global_batch_size": BATCH, "seq_length": 1024,
    }  # fmt: skip
    base = tiny.save(folder / "base", kind, **SHAPE)
    return TrainJob(
        base_model=base,
        base_digest=model_digest(base),
        # 512 tokens each: two fill a row
        examples=tiny.write_examples(folder / "kept.jsonl", BATCH, prompt=(64, 65), completion=(447, 448)),
        work=folder / "work",
        output=folder / "out",
        seed=3,
        config=TrainConfig(backend="megatron", **settings | changes),
    )


def train(job: TrainJob, capsys: pytest.CaptureFixture[str], ranks: int = 1) -> list[float]:
    """Each step's loss; speed (the first two steps, which warm up, left out) and memory are printed."""
    with peak_memory() as peak:
        MegatronTrainer(ranks=ranks).train(job)
    rows = [json.loads(line) for line in (job.work / "log.jsonl").read_text().splitlines()]
    labels, seconds = (sum(row[key] for row in rows[2:]) for key in ("tokens", "seconds"))
    name = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2]
    show(capsys, f"{name}: {labels / seconds:,.0f} label tokens/s, {peak.gib:.1f} GiB of GPU memory on the fullest GPU")
    assert (job.output / "config.json").exists()
    return [row["loss"] for row in rows]


def reference_loss(job: TrainJob) -> float:
    """The base model's loss on all examples, by transformers in float32 on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(job.base_model, torch_dtype=torch.float32)
    total, labels = 0.0, 0
    for line in job.examples.read_text().splitlines():
        row = json.loads(line)
        prompt, completion = row["prompt_token_ids"], row["completion_token_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(completion), reduction="sum"))
        labels += len(completion)
    return total / labels


@pytest.mark.parametrize("unit", ["samples", "packs"])
def test_a_training_step(tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: str) -> None:
    """In packs, two examples share a row and Transformer Engine must keep them apart."""
    job = make_job(tmp_path, batch_unit=unit, global_batch_size=BATCH if unit == "samples" else BATCH // 2)
    losses = train(job, capsys)
    assert losses[0] == pytest.approx(reference_loss(job), abs=NEAR)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize(
    ("kind", "parallel"),
    [
        ("qwen3", ParallelConfig(tensor=2, sequence=True)),
        ("qwen3", ParallelConfig(context=2)),
        ("qwen3", ParallelConfig(tensor=2, sequence=True, context=2, recompute="full")),
        ("qwen3_moe", ParallelConfig(expert=2)),
    ],
    ids=["tensor-sequence", "context", "tensor-context-recompute", "experts"],
)
def test_parallel_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, parallel: ParallelConfig
) -> None:
    ranks = max(2, parallel.tensor * parallel.context)
    if ranks > GPUS:
        pytest.skip(f"needs {ranks} GPUs, here are {GPUS}")
    job = make_job(tmp_path, kind, parallel=parallel)
    losses = train(job, capsys, ranks)
    assert losses[0] == pytest.approx(reference_loss(job), abs=NEAR)
    assert losses[-1] < losses[0] - 0.1
