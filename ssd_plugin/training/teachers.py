"""The teacher is the model itself: its current weights, the base's, a moving average of them, or a mixture of two of these.

Weights are kept in float32 and lent to the one model object for a forward pass: a moving average in bfloat16 stands still,
since a hundredth of a small difference is lost to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ssd_plugin.config.methods import DivergenceConfig

Weights = list[torch.Tensor]


class Teacher:
    """`voices`: which weights speak, and with what share of the teacher's logits."""

    def __init__(self, model: Any, config: DivergenceConfig) -> None:
        """Starts as the model is now. `current` keeps nothing, the others one copy of the weights."""
        self._model, self._rate, self._kind = model, config.teacher_rate, config.teacher
        kept = config.teacher != "current"
        self._kept: Weights = [parameter.detach().clone() for parameter in model.parameters()] if kept else []

    @property
    def voices(self) -> tuple[tuple[float, Weights | None], ...]:
        """(share of the logits, weights; None: the model's own)."""
        if self._kind == "current":
            return ((1.0, None),)
        if self._kind == "trust_region":
            return ((1 - self._rate, self._kept), (self._rate, None))
        return ((1.0, self._kept),)

    @torch.no_grad()
    def follow(self) -> None:
        """After an update: a moving average takes its step to the model's weights, the others stay."""
        if self._kind == "moving_average":
            torch._foreach_lerp_(self._kept, [parameter.detach() for parameter in self._model.parameters()], self._rate)

    def state(self) -> Weights:
        """What `restore` takes."""
        return self._kept

    def restore(self, state: Weights) -> None:
        """Become what was saved."""
        self._kept = [tensor.to(own.device) for tensor, own in zip(state, self._kept, strict=True)]

    @contextmanager
    def speaking(self, weights: Weights | None) -> Iterator[None]:
        """The model with these weights, for as long as the context lasts."""
        if weights is None:
            yield
            return
        parameters = list(self._model.parameters())
        own = [parameter.data for parameter in parameters]
        try:
            for parameter, lent in zip(parameters, weights, strict=True):
                parameter.data = lent
            yield
        finally:
            for parameter, data in zip(parameters, own, strict=True):
                parameter.data = data
