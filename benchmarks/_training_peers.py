"""The contestants of training.py, each run as `python _training_peers.py NAME WORK.json`.

WORK.json: model (directory), examples (token ids of prompts and completions), steps, max_lr, bf16 (mixed precision, as our
backend picks it here). Every step takes all the examples.
Prints tokens (that carry loss), losses, cpu_s, wall_s and peak_gb; loading is left out of the seconds and not of the memory.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import Meter

from ssd_plugin.config.schema import TrainConfig

Work = dict[str, Any]
SEQ_LENGTH = 1024


def config(work: Work) -> TrainConfig:
    """Every step takes all the examples."""
    return TrainConfig(
        train_iters=work["steps"], save_interval=work["steps"], max_lr=work["max_lr"], min_lr=work["max_lr"] / 10,
        global_batch_size=len(work["examples"]), seq_length=SEQ_LENGTH,
    )  # fmt: skip


@contextmanager
def metered(found: dict[str, Any]) -> Iterator[None]:
    """Measure what happens inside `Trainer.train`, for all contestants alike."""
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


def embedded(work: Work) -> dict[str, Any]:
    """Our backend."""
    from ssd_plugin.core.jsonl import write_jsonl
    from ssd_plugin.models.weights import model_digest
    from ssd_plugin.training import open_trainer
    from ssd_plugin.training.protocol import TrainJob

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, metered(found):
        folder, model = Path(name), Path(work["model"])
        write_jsonl(folder / "examples.jsonl", work["examples"])
        job = TrainJob(
            base_model=model, base_digest=model_digest(model), examples=folder / "examples.jsonl", work=folder / "work",
            output=folder / "out", seed=0, config=config(work),
        )  # fmt: skip
        open_trainer("embedded").train(job)
        rows = [json.loads(line) for line in (folder / "work/log.jsonl").read_text().splitlines()]
    return found | {"losses": [row["loss"] for row in rows], "tokens": sum(row["tokens"] for row in rows)}


def sft(work: Work, **changes: Any) -> dict[str, Any]:
    """TRL's SFTTrainer with its defaults, but for the figures that must be equal to ours."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    ours = config(work)
    rows = [
        {
            "input_ids": e["prompt_token_ids"] + e["completion_token_ids"],
            "completion_mask": [0] * len(e["prompt_token_ids"]) + [1] * len(e["completion_token_ids"]),
        }
        for e in work["examples"]
    ]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, metered(found):
        settings: dict[str, Any] = {
            "output_dir": name, "max_length": SEQ_LENGTH, "max_steps": ours.train_iters, "save_steps": ours.train_iters,
            "per_device_train_batch_size": len(rows), "learning_rate": ours.max_lr, "warmup_steps": 0,
            "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": ours.min_lr},
            "adam_beta1": ours.adam_beta1, "adam_beta2": ours.adam_beta2, "weight_decay": ours.weight_decay,
            "max_grad_norm": ours.clip_grad, "logging_steps": 1, "report_to": [], "use_cpu": True, "bf16": work["bf16"],
            "completion_only_loss": True,
        }  # fmt: skip
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(work["model"], dtype=torch.float32),
            args=SFTConfig(**settings | changes),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(work["model"]),
        )
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    labels = sum(sum(row["completion_mask"]) for row in rows)
    return found | {"losses": losses, "tokens": labels * ours.train_iters}


def sft_packed(work: Work) -> dict[str, Any]:
    """Best-fit packing, no gradient checkpointing: its fastest way on this data."""
    lengths = (len(e["prompt_token_ids"]) + len(e["completion_token_ids"]) for e in work["examples"])
    packs = -(-sum(lengths) // SEQ_LENGTH)
    return sft(work, packing=True, gradient_checkpointing=False, per_device_train_batch_size=packs)


CONTESTANTS = {"embedded backend": embedded, "TRL default": sft, "TRL packing": sft_packed}

if __name__ == "__main__":
    print(json.dumps(CONTESTANTS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))))
