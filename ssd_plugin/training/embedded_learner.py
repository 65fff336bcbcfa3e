"""The embedded learner: packs on the CPU or one GPU, float32 weights, bfloat16 products where the device has them."""

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.errors import TrainingError
from ssd_plugin.models.device import has_fast_bfloat16, pick_device
from ssd_plugin.training.export import export
from ssd_plugin.training.learner import Row, Update
from ssd_plugin.training.losses.objective import (
    Objective,
    Observed,
    States,
    confidence,
    policy_loss,
    teacher_loss,
)
from ssd_plugin.training.model import check_exact, load, output_layer
from ssd_plugin.training.packing import Pack
from ssd_plugin.training.row_packs import RowPack, pack_rows
from ssd_plugin.training.teachers import Teacher, Weights

STATE = "state.pt"


class EmbeddedLearner:
    """See `Learner`. All weights are trained."""

    def __init__(self, base_model: Path, config: TrainConfig, objective: Objective) -> None:
        """Load the model.

        Raises:
            ModelError, TrainingError, ResourceError: it cannot be loaded, or not be trained exactly in packs.
        """
        self._base_model, self._config, self._objective = base_model, config, objective
        device = pick_device()
        self._half = has_fast_bfloat16(device)
        model: Any = load(base_model)
        self.model: Any = model.to(device).train()
        self._teacher = Teacher(self.model, objective.teacher) if objective.teacher else None
        self._optimizer = _optimizer(self.model, config)
        self._batches = 0
        self._checked = False

    def update(self, rows: Sequence[Row]) -> Update:
        """See `Learner.update`."""
        rate = learning_rate(self._config, self._batches)
        self._batches += 1
        if not any(row.teaches for row in rows):
            return Update(updated=False, lr=rate)
        packs = pack_rows(rows, self._objective.per, self._config.seq_length)
        if not self._checked:
            check_exact(self.model, packs[-1].student)
            self._checked = True
        teachers = [self._listen(pack) for pack in packs]
        weights = self._weights(teachers)
        self._optimizer.zero_grad(set_to_none=True)
        observed = Observed()
        loss = sum(map(self._backward, packs, teachers, weights, [observed] * len(packs)))
        norm = self._step(rate, loss)
        return Update(
            updated=True,
            loss=loss,
            grad_norm=norm,
            lr=rate,
            tokens=observed.tokens,
            entropy=observed.entropy / observed.tokens,
            gap=observed.gap / observed.tokens,
        )

    def snapshot(self) -> PreTrainedModel:
        """A copy of the weights as they are now that decodes as any model does, for whoever samples from it."""
        self._optimizer.zero_grad(set_to_none=True)  # copies would have gradients of their own
        copied: PreTrainedModel = copy.deepcopy(self.model)
        copied.set_attn_implementation("sdpa")
        copied.config.use_cache = True
        return copied.requires_grad_(False)

    def save(self, folder: Path) -> None:
        """See `Learner.save`."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "batches": self._batches,
            "model": [parameter.detach() for parameter in self.model.parameters()],
            "optimizer": self._optimizer.state_dict(),
            "teacher": self.teacher_state(),
        }
        torch.save(state, folder / STATE)

    def teacher_state(self) -> Weights:
        """What the teacher keeps of weights; nothing where there is none, or where it is the current model."""
        return self._teacher.state() if self._teacher else []

    @torch.no_grad()
    def restore(self, folder: Path) -> None:
        """See `Learner.restore`."""
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        self._batches = state["batches"]
        for parameter, saved in zip(self.model.parameters(), state["model"], strict=True):
            parameter.copy_(saved)
        self._optimizer.load_state_dict(state["optimizer"])
        if self._teacher:
            self._teacher.restore(state["teacher"])

    def export(self, output: Path) -> None:
        """See `Learner.export`."""
        export(self.model, self._base_model, output)

    def _hidden(self, pack: Pack) -> torch.Tensor:
        """The hidden states that predict the pack's labels, "labels width"."""
        device = self.model.device
        with self._autocast():
            states: torch.Tensor = self.model.base_model(
                input_ids=pack.input_ids.to(device),
                position_ids=pack.position_ids.to(device),
                pack_boundaries=pack.boundaries,
                use_cache=False,
            ).last_hidden_state[0]
        return states[pack.label_positions.to(device)]

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._half)

    @torch.no_grad()
    def _listen(self, pack: RowPack) -> list[States]:
        """What the teacher makes of a pack's teacher rows; nothing where there are none."""
        if pack.teacher is None or self._teacher is None:
            return []
        heard = []
        for factor, weights in self._teacher.voices:
            with self._teacher.speaking(weights):
                hidden = self._hidden(pack.teacher)
                heard.append(States(hidden=hidden, weight=output_layer(self.model).weight.data, factor=factor))
        return heard

    def _weights(self, teachers: list[list[States]]) -> list[torch.Tensor | None]:
        """The weight of each teacher token, pack by pack; their mean over the batch is 1."""
        found = [
            confidence(heard, self._objective, self._objective.entropy_weight) if heard else None for heard in teachers
        ]
        spoken = [part for part in found if part is not None]
        mean = torch.cat(spoken).mean() if spoken else 1.0
        return [None if part is None else part / mean for part in found]

    def _backward(
        self, pack: RowPack, teacher: list[States], weights: torch.Tensor | None, observed: Observed
    ) -> float:
        """Add one pack's gradients; returns its part of the loss."""
        hidden, weight, device = self._hidden(pack.student), output_layer(self.model).weight, self.model.device
        loss = hidden.new_zeros((), dtype=torch.float32)
        if teacher:
            student = States(hidden=hidden[pack.chosen("teacher").to(device)], weight=weight)
            tokens = pack.tokens("teacher", weights, device)
            loss = loss + teacher_loss(student, teacher, tokens, self._objective, observed)
        if any(row.branch == "policy" for row in pack.rows):
            student = States(hidden=hidden[pack.chosen("policy").to(device)], weight=weight)
            loss = loss + policy_loss(student, pack.tokens("policy", None, device), self._objective, observed)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _step(self, rate: float, loss: float) -> float:
        """One optimizer step; returns the gradient's norm before clipping."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.clip_grad or math.inf))
        if not math.isfinite(loss) or not math.isfinite(norm):
            what = "loss" if not math.isfinite(loss) else "gradient"
            raise TrainingError(
                f"batch {self._batches}: the {what} is not finite; lower train.max_lr or check the base model"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        if self._teacher:
            self._teacher.follow()
        return norm


def learning_rate(config: TrainConfig, batch: int) -> float:
    """The rate of a batch (from 0): a linear rise over `warmup_iters`, then half a cosine down to `min_lr`."""
    if batch < config.warmup_iters:
        return config.max_lr * (batch + 1) / config.warmup_iters
    done = (batch - config.warmup_iters) / max(1, config.train_iters - config.warmup_iters)
    return config.min_lr + (config.max_lr - config.min_lr) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def _optimizer(model: Any, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; matrices decay, norms and biases do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.max_lr, betas=(config.adam_beta1, config.adam_beta2), fused=True)
