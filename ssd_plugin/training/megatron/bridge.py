"""Megatron-Bridge's config objects for a fine-tune, built by plain functions.

Memory on the fullest GPU of one node of eight B200 (180 GB, of which 150.9 GiB are counted on), by the formulas of
`planning/memory.py`, in GiB, as `ssd plan RECIPE` prints them:

    recipe                      parallelism     weights  gradients  optimizer  activations  logits  total
    ssd_qwen3_4b_*              CP4                 7.5       15.0        5.6         54.6    23.2  105.8
    ssd_qwen3_30b_a3b_*         CP8 EP8             9.6       19.2       42.7         50.2    11.6  133.4
      on two nodes              CP8 EP8             9.6       19.2       21.3         50.2    11.6  112.0
    ssd_llama31_8b_instruct     CP4                15.0       29.9       11.2         68.0    19.6  143.7
    ssd_gpt_oss_20b             CP4 EP8             7.8       15.6       29.2         57.4    30.7  140.7

(two nodes: `--assume nodes=2`). They are estimates; nobody has measured them on that hardware yet.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from megatron.bridge import AutoBridge
from megatron.bridge.training.config import (
    CheckpointConfig,
    ConfigContainer,
    DatasetBuildContext,
    DatasetProvider,
    DistributedDataParallelConfig,
    DistributedInitConfig,
    LoggerConfig,
    OptimizerConfig,
    RNGConfig,
    SchedulerConfig,
    TokenizerConfig,
    TrainingConfig,
)

from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.training.megatron.job import checkpoints_of
from ssd_plugin.training.megatron.provider import set_parallelism, set_plain_loss
from ssd_plugin.training.megatron.rows import Rows, multiple_of, plan_rows, read_examples
from ssd_plugin.training.protocol import TrainJob

CHECKPOINTS_KEPT = 2
TIMEOUT = (
    60  # minutes that ranks wait for each other: one writes hundreds of gigabytes, or compares an export, meanwhile
)


@dataclass(kw_only=True)
class OurRows(DatasetProvider):  # type: ignore[misc]  # Bridge has no types
    """Bridge's hook for a data set of one's own. Every rank reads the examples and takes its share of the rows."""

    job: TrainJob
    rows: int
    vocabulary: int
    seq_length: int
    dense_mask: bool = False
    skip_getting_attention_mask_from_dataset: bool = True

    def build_datasets(self, context: DatasetBuildContext) -> tuple[Any, None, None]:
        """The rows of all steps in order; no validation: that is a stage of its own. One more step's rows follow, never
        trained on: Bridge does not start where no row is left, and a restart may have nothing to do but to export."""
        config = self.job.config
        examples = read_examples(self.job, self.vocabulary)
        steps = plan_rows(examples.lengths, config, self.job.seed, self.rows)
        plan = [row for step in [*steps, steps[0]] for row in step]
        return Rows(examples, plan, multiple_of(config), self.dense_mask), None, None


def model_provider(base_model: Path, config: TrainConfig) -> tuple[Any, Any]:
    """Bridge and its model provider: the base model's weights are loaded on every rank's share of it."""
    bridge = AutoBridge.from_hf_pretrained(str(base_model), torch_dtype=torch.bfloat16)
    provider = bridge.to_megatron_provider(load_weights=True)
    set_parallelism(provider, config.parallel)
    provider.seq_length = config.seq_length
    if config.parallel.pipeline > 1:  # rows are as long as their examples; Megatron's default dispatcher refuses that,
        provider.variable_seq_lengths = True  # even in a model without experts
        provider.moe_token_dispatcher_type = "alltoall"
    set_plain_loss(provider)
    return bridge, provider


def optimizer(config: TrainConfig) -> tuple[OptimizerConfig, SchedulerConfig]:
    """AdamW with linear warm-up and cosine decay, states shared out over the data-parallel ranks.

    Bridge's ready-made pair would put its own weight decay (0.033) over the optimizer's: the schedule says ours.
    """
    adam = OptimizerConfig(
        optimizer="adam",
        lr=config.max_lr,
        min_lr=config.min_lr,
        weight_decay=config.weight_decay,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        clip_grad=config.clip_grad,
        bf16=True,
        use_distributed_optimizer=True,
    )
    schedule = SchedulerConfig(
        start_weight_decay=config.weight_decay,
        end_weight_decay=config.weight_decay,
        weight_decay_incr_style="constant",
        lr_decay_style="cosine",
        lr_warmup_iters=config.warmup_iters,
        lr_decay_iters=config.train_iters,
        override_opt_param_scheduler=True,
    )
    return adam, schedule


def container(job: TrainJob, provider: Any, rows: int) -> ConfigContainer:
    """The whole of Bridge's configuration for the job. What Megatron calls a sample is one of our `rows` a step: with the loss
    by token, how samples are laid in rows changes no step."""
    config = job.config
    adam, schedule = optimizer(config)
    checkpoints = str(checkpoints_of(job))
    return ConfigContainer(
        model=provider,
        train=TrainingConfig(
            train_iters=config.train_iters,
            global_batch_size=rows,
            micro_batch_size=1,
            eval_interval=config.train_iters + 1,
            eval_iters=0,
        ),
        optimizer=adam,
        scheduler=schedule,
        ddp=DistributedDataParallelConfig(
            use_distributed_optimizer=True,
            grad_reduce_in_fp32=True,
            check_for_nan_in_grad=True,
            average_in_collective=False,  # with per-token loss the division comes after the sum
        ),
        dataset=OurRows(
            job=job,
            rows=rows,
            vocabulary=provider.vocab_size,
            seq_length=config.seq_length,
            dataloader_type="single",
            num_workers=0,
            data_sharding=False,
            pin_memory=torch.cuda.is_available(),
        ),
        logger=LoggerConfig(log_interval=1, tensorboard_dir=None),
        tokenizer=TokenizerConfig(tokenizer_type="HuggingFaceTokenizer", tokenizer_model=str(job.base_model)),
        checkpoint=CheckpointConfig(
            save=checkpoints,
            load=checkpoints,
            save_interval=config.save_interval,
            most_recent_k=CHECKPOINTS_KEPT,
            ckpt_format="torch_dist",
        ),
        rng=RNGConfig(seed=job.seed),
        dist=DistributedInitConfig(distributed_timeout_minutes=TIMEOUT),
        mixed_precision="bf16_mixed",
    )
