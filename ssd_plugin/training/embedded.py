"""The embedded backend: transformers' Trainer on packs, on the CPU or one GPU."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch.utils.data import Dataset, SequentialSampler
from transformers import TrainerCallback, TrainingArguments

from ssd_plugin.core.progress import Advance, track
from ssd_plugin.core.stage_timing import spent
from ssd_plugin.errors import ResourceError, TrainingError
from ssd_plugin.models.device import has_fast_bfloat16, is_out_of_disk, is_out_of_memory, pick_device
from ssd_plugin.training import checkpoints, packing
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.export import export
from ssd_plugin.training.model import causal_lm, check_exact, load, pack_loss, with_adapters
from ssd_plugin.training.packing import Pack, Packs
from ssd_plugin.training.protocol import TrainJob, TrainSummary

CHECK_TOKENS = 512
"""About how many tokens the check before training looks at."""


class EmbeddedTrainer:
    """See `Trainer`. Full fine-tune or LoRA; float32 weights, bfloat16 products where the device has them."""

    def train(self, job: TrainJob) -> TrainSummary:
        """See `Trainer.train`."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise TrainingError(
                "train.backend = embedded runs in one process; for several GPUs set train.backend to megatron"
            )
        with _resource_errors(job):
            return _train(job)


def _train(job: TrainJob) -> TrainSummary:
    config = job.config
    identity = job.identity()
    if done := checkpoints.finished(job.work, identity, job.output):
        return done
    torch.manual_seed(job.seed)
    with spent("loading"):
        model = load(job.base_model)
        examples = Examples(
            job.examples, seq_length=config.seq_length, vocabulary=model.config.get_text_config().vocab_size
        )
    steps = packing.plan(
        examples.lengths,
        seed=job.seed,
        iterations=config.train_iters,
        batch=config.global_batch_size,
        capacity=config.seq_length,
        unit=config.batch_unit,
    )
    check_exact(model, _small_pack(examples))
    resume = checkpoints.begin(job.work, identity)
    trainer = _PackTrainer(
        model=with_adapters(model, config) if config.method == "lora" else model,
        args=_arguments(job),
        train_dataset=_Steps(examples, steps),
        data_collator=_only_item,
        callbacks=[_Seal()],
    )
    trainer.work = job.work
    with track("train", config.train_iters, checkpoints.step_of(resume)) as trainer.advance:
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    rows = checkpoints.read_log(job.work)
    summary = TrainSummary(
        steps=len(rows), tokens=sum(r["tokens"] for r in rows), first_loss=rows[0]["loss"], last_loss=rows[-1]["loss"]
    )
    with spent("checkpoints"):
        export(trainer.model, job.base_model, job.output)
        checkpoints.finish(job.work, identity, job.output, summary)
    return summary


def _small_pack(examples: Examples) -> Pack:
    """The two shortest examples that together stay near `CHECK_TOKENS` (one, if there is only one)."""
    lengths = examples.lengths
    order = sorted(range(len(lengths)), key=lambda i: (abs(lengths[i] - CHECK_TOKENS // 2), i))
    return packing.build(examples, order[:2])


def _arguments(job: TrainJob) -> TrainingArguments:
    config = job.config
    device = pick_device()
    arguments = TrainingArguments(
        output_dir=str(job.work),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        max_steps=config.train_iters,
        learning_rate=config.max_lr,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr": config.min_lr},
        warmup_steps=config.warmup_iters,
        optim="adamw_torch_fused",
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip_grad,
        save_strategy="steps",
        save_steps=config.save_interval,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        seed=job.seed,
        use_cpu=device.type == "cpu",
        bf16=has_fast_bfloat16(device),
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process, one GPU: packs are not split by DataParallel
    return arguments


class _Steps(Dataset[list[Pack]]):
    """One item an optimizer step: its packs, built when asked for."""

    def __init__(self, examples: Examples, steps: list[Packs]) -> None:
        self._examples, self._steps = examples, steps

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, step: int) -> list[Pack]:
        return [packing.build(self._examples, indices) for indices in self._steps[step]]


def _only_item(items: list[list[Pack]]) -> dict[str, Any]:
    return {"packs": items[0]}


class _PackTrainer(transformers.Trainer):
    """Trainer whose step is a whole global batch: the mean over all its labelled tokens, gathered pack by pack."""

    _step_tokens = 0
    _step_began = 0.0
    work: Path
    advance: Advance

    def _get_train_sampler(self, *_: Any, **__: Any) -> SequentialSampler:
        steps: Any = self.train_dataset
        return SequentialSampler(steps)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Gradients of one step's packs; returns the mean loss (nats a token)."""
        model.train()
        self._step_began = self._step_began or time.monotonic()
        packs: list[Pack] = inputs["packs"]
        self._step_tokens = sum(len(pack.labels) for pack in packs)
        dtype = torch.bfloat16 if self.args.bf16 else torch.float32
        total = torch.zeros((), device=self.args.device)
        for pack in packs:
            with self.compute_loss_context_manager():
                loss = pack_loss(causal_lm(model), pack, dtype) / self._step_tokens
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"step {self.state.global_step + 1}: the loss is not finite; lower train.max_lr or check the base model"
                )
            accelerator: Any = self.accelerator
            accelerator.backward(loss)
            total += loss.detach()
        return total

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        with spent("checkpoints"):
            super()._save_checkpoint(*arguments, **options)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Append one row a step to the log; the summary at the end is not a step."""
        if "loss" not in logs:
            return
        now = time.monotonic()
        row = {
            "step": self.state.global_step,
            "loss": logs["loss"],
            "lr": logs["learning_rate"],
            "grad_norm": logs["grad_norm"],
            "tokens": self._step_tokens,
            "seconds": round(now - self._step_began, 3),
        }
        if not math.isfinite(row["grad_norm"]):
            raise TrainingError(f"step {row['step']}: the gradient is not finite; lower train.max_lr")
        checkpoints.append_log(self.work, row)
        self.advance(note=f"loss {row['loss']:.3f}")
        self._step_began = now


class _Seal(TrainerCallback):
    """A checkpoint counts only once it is whole; the older ones go then. None is made of the last step: the model follows."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Undo the Trainer's own wish to save what it ends with."""
        if state.global_step >= state.max_steps:
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the checkpoint just written."""
        checkpoints.seal(Path(args.output_dir), state.global_step)


@contextmanager
def _resource_errors(job: TrainJob) -> Iterator[None]:
    """Turn what torch, safetensors and the system say about memory and disk into one line."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise ResourceError(
                f"out of memory while training; lower train.seq_length ({job.config.seq_length}) or set train.method to lora"
            ) from error
        if is_out_of_disk(error):
            raise ResourceError(f"no space left near {job.work}: free some and run the same command again") from error
        raise
