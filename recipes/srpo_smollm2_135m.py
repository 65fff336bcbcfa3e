"""SRPO with SmolLM2-135M-Instruct on a bare CPU."""

from dataclasses import replace

from ssd_plugin.config.methods import RolloutConfig, SrpoConfig
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.recipes import ssd_smollm2_135m


def recipe() -> RunConfig:
    """SmolLM2-135M-Instruct learns from rewards, and failures from correct siblings, on the project's own task bank.

    Model, data and evaluation are those of `ssd_smollm2_135m`. `srpo`: the method's defaults, from its paper
    (`config/methods.py`). Batches of 32 rollouts and the learning rate are sized for two cores, and tuned on nothing.
    """
    ssd = ssd_smollm2_135m.recipe()
    return replace(
        ssd,
        recipe="srpo_smollm2_135m",
        method="srpo",
        rollout=RolloutConfig(max_new_tokens=160, tasks_per_batch=4),
        srpo=SrpoConfig(rollouts_per_task=8),
        train=replace(
            ssd.train, train_iters=12, warmup_iters=1, save_interval=1, max_lr=1e-5, min_lr=1e-5, seq_length=1024
        ),
    )
