"""The settings of the methods that learn from rollouts, a section each; `schema.py` puts them into the tree.

The defaults are those of each method's paper: SDFT arXiv:2601.19897, SDPO arXiv:2601.20802 (its setting without feedback), GRPO
as SDPO's baseline there, SRPO arXiv:2604.02288. No `from __future__ import annotations`: nemo-run reads these annotations.
"""

from dataclasses import dataclass
from typing import Literal

from ssd_plugin.config.checks import require


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """The completions that a method learns from, sampled from the current weights without truncation. A batch is
    `tasks_per_batch` tasks, each answered as often as the method says. `reward`: 1 for a program that passes all cases and else
    0, or the share of cases that it passes."""

    temperature: float = 1.0
    max_new_tokens: int = 512
    tasks_per_batch: int = 32
    reward: Literal["all_cases", "share_of_cases"] = "all_cases"

    def __post_init__(self) -> None:
        require(0 < self.temperature <= 5, "temperature", self.temperature, "above 0, at most 5")
        for name in ("max_new_tokens", "tasks_per_batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number from 1")


@dataclass(frozen=True, kw_only=True)
class OnPolicyConfig:
    """What every method that learns from rollouts has. `sampler_ratio_cap`: the largest weight of a token that the trainer
    finds more probable than the sampler did."""

    rollouts_per_task: int = 8
    sampler_ratio_cap: float = 2.0

    def __post_init__(self) -> None:
        require(self.rollouts_per_task >= 1, "rollouts_per_task", self.rollouts_per_task, "a whole number from 1")
        require(self.sampler_ratio_cap > 0, "sampler_ratio_cap", self.sampler_ratio_cap, "above 0")


@dataclass(frozen=True, kw_only=True)
class DivergenceConfig(OnPolicyConfig):
    """How far the student is from the teacher, and what the teacher is: a float32 moving average of the weights
    (`teacher_rate`: how far it moves to the student after each update), the frozen base, the current weights, or the
    distribution between base and current weights (`trust_region`; `teacher_rate`: the current weights' share)."""

    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "jsd"
    jsd_teacher_weight: float = 0.5
    support: Literal["vocabulary", "top_k", "sampled_token"] = "top_k"
    top_k: int = 100
    teacher: Literal["moving_average", "trust_region", "frozen", "current"] = "moving_average"
    teacher_rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.jsd_teacher_weight < 1, "jsd_teacher_weight", self.jsd_teacher_weight,
                "above 0, below 1 (the JSD vanishes at both ends: choose forward_kl or reverse_kl)")  # fmt: skip
        require(self.top_k >= 1, "top_k", self.top_k, "a whole number from 1")
        require(0 < self.teacher_rate < 1, "teacher_rate", self.teacher_rate, "above 0, below 1")
        require(self.support != "sampled_token" or self.divergence == "reverse_kl", "support", self.support,
                "sampled_token with divergence = reverse_kl alone, of which it is the gradient")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SdftConfig(DivergenceConfig):
    """Learn from demonstrations: the teacher is the model that also sees one. The first `skip_tokens` of a completion carry no
    loss: there the teacher speaks of the demonstration."""

    rollouts_per_task: int = 1
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    support: Literal["vocabulary", "top_k", "sampled_token"] = "vocabulary"
    teacher_rate: float = 0.01
    skip_tokens: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.skip_tokens >= 0, "skip_tokens", self.skip_tokens, "0 (none) or a whole number above it")


@dataclass(frozen=True, kw_only=True)
class SdpoConfig(DivergenceConfig):
    """Learn from feedback: the teacher is the model that also sees a correct answer of its own group, or what was wrong. An
    answer is correct from `success_reward` on."""

    success_reward: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.success_reward <= 1, "success_reward", self.success_reward, "above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class GrpoConfig(OnPolicyConfig):
    """The clipped policy gradient on each reward minus its group's mean. `divide_by_std`: and divided by the group's standard
    deviation, which weights easy and hard tasks up."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    divide_by_std: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.clip_low < 1, "clip_low", self.clip_low, "above 0, below 1")
        require(self.clip_high > 0, "clip_high", self.clip_high, "above 0")


@dataclass(frozen=True, kw_only=True)
class SrpoConfig(SdpoConfig, GrpoConfig):
    """GRPO on what succeeded or cannot be mended, SDPO on failures in groups that have a success. `entropy_weight`: how fast a
    token's weight falls with the teacher's entropy (0: all weigh the same)."""

    entropy_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.entropy_weight >= 0, "entropy_weight", self.entropy_weight, "0 (off) or above")


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """When a run that learns from rollouts stops by itself. `batches_without_signal`: so many batches in a row in which nothing
    could be learnt. `largest_gap`: of sampler's and trainer's log-probabilities, mean absolute difference over a batch's
    tokens (nats). `smallest_entropy`: of the model's next token, mean over a batch (nats). `shortest_share`: of the first
    batch's mean length. `largest_repeats`: the share of a batch's completions that are copies of another in their group.
    `view_tasks`: before SDFT begins, so many training tasks are answered with and without the demonstration in view, and with
    it the answers must pass more often by `view_gain` (0 to 1)."""

    batches_without_signal: int = 10
    largest_gap: float = 0.1
    smallest_entropy: float = 0.01
    shortest_share: float = 0.2
    largest_repeats: float = 0.95
    view_tasks: int = 16
    view_gain: float = 0.05

    def __post_init__(self) -> None:
        require(self.batches_without_signal >= 1, "batches_without_signal", self.batches_without_signal,
                "a whole number from 1")  # fmt: skip
        require(self.largest_gap > 0, "largest_gap", self.largest_gap, "above 0")
        require(self.smallest_entropy >= 0, "smallest_entropy", self.smallest_entropy, "0 (off) or above")
        require(self.view_tasks >= 0, "view_tasks", self.view_tasks, "0 (off) or a whole number above it")
        for name in ("shortest_share", "largest_repeats", "view_gain"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
