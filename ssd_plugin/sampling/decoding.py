"""A batch of rows that decode together: prefill, one step for all, and turnover."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy
import torch
from transformers import PreTrainedModel

from ssd_plugin.errors import SamplingError
from ssd_plugin.sampling.prefix import Prefix
from ssd_plugin.sampling.protocol import Request, SamplingParams
from ssd_plugin.sampling.slots import SlotCache
from ssd_plugin.sampling.truncation import draw

PREFILL_TOKENS = 2048
"""Prompt tokens (padding included) that go through the model at once: bounds the activations' memory."""


@dataclass(kw_only=True)
class Row:
    """One request being completed. `uniforms`: its own stream of random numbers, so that neighbours do not matter."""

    request: Request
    limit: int
    uniforms: numpy.random.Generator
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def last_token(self) -> int:
        """What the model reads next."""
        return self.tokens[-1] if self.tokens else self.request.prompt_token_ids[-1]


class Batch:
    """Rows in the slots of one cache: `rows[i]` lives in slot i. A finished row keeps its slot until `drop_finished`."""

    def __init__(
        self, model: PreTrainedModel, params: SamplingParams, end_tokens: frozenset[int], context: int
    ) -> None:
        self.rows: list[Row] = []
        self._model, self._params, self._end_tokens, self._context = model, params, end_tokens, context
        config = model.config.get_text_config()
        self._cache = SlotCache(config.num_hidden_layers)
        self._prefix = Prefix(model)
        self._window: int | None = (
            config.sliding_window if "sliding_attention" in (getattr(config, "layer_types", None) or ()) else None
        )

    @torch.inference_mode()
    def drop_finished(self) -> None:
        """Free the slots of finished rows; the rows behind them move up."""
        for slot in range(len(self.rows) - 1, -1, -1):
            if self.rows[slot].finished:
                self._cache.remove(slot)
                last = self.rows.pop()
                if slot < len(self.rows):
                    self.rows[slot] = last

    @torch.inference_mode()
    def admit(self, requests: list[Request]) -> None:
        """Prefill all but the last prompt token; that one is read by the first common step.

        Raises:
            SamplingError: a prompt is empty or leaves no room in the context.
        """
        for group in _prefill_groups(requests):
            prompts = list(dict.fromkeys(r.prompt_token_ids for r in group))
            self.rows += [self._new_row(r) for r in group]
            lengths = [len(r.prompt_token_ids) - 1 for r in group]
            self._cache.extend(
                self._prefix.prefill(prompts), [prompts.index(r.prompt_token_ids) for r in group], lengths
            )

    def _new_row(self, request: Request) -> Row:
        room = self._context - len(request.prompt_token_ids)
        if not request.prompt_token_ids:
            raise SamplingError(f"{request.request_id}: the prompt holds no tokens")
        if room < 1:
            raise SamplingError(
                f"{request.request_id}: a prompt of {len(request.prompt_token_ids)} tokens leaves no room in the model's "
                f"context of {self._context}; shorten or drop that task"
            )
        uniforms = numpy.random.Generator(numpy.random.Philox(key=request.seed))
        return Row(request=request, limit=min(self._params.max_new_tokens, room), uniforms=uniforms)

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Draw one token for every row; returns the rows that this finished.

        Raises:
            SamplingError: the model's logits are not finite.
        """
        device = self._model.device
        positions, visible = self._cache.begin_step(device)
        logits = (
            self._model(
                input_ids=torch.tensor([[row.last_token] for row in self.rows], device=device),
                position_ids=positions[:, None],
                attention_mask=self._masks(positions, visible),
                past_key_values=self._cache,
                use_cache=True,
            )
            .logits[:, -1]
            .float()
        )
        uniforms = torch.tensor([row.uniforms.random() for row in self.rows], dtype=torch.float64, device=device)
        tokens, logprobs = draw(logits, self._params, uniforms)
        return list(self._record(tokens.tolist(), logprobs.tolist(), logits))

    def _masks(self, positions: torch.Tensor, visible: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """The mask of every kind of layer, "rows 1 1 extent"."""
        if self._window is None:
            return self._as_mask(visible)
        recent = torch.arange(visible.shape[1], device=visible.device) > positions[:, None] - self._window
        return {"full_attention": self._as_mask(visible), "sliding_attention": self._as_mask(visible & recent)}

    def _as_mask(self, visible: torch.Tensor) -> torch.Tensor:
        mask = visible[:, None, None, :]
        if self._model.config._attn_implementation != "eager":
            return mask
        lowest = torch.finfo(self._model.dtype).min
        return torch.zeros_like(mask, dtype=self._model.dtype).masked_fill(~mask, lowest)

    def _record(self, tokens: list[int], logprobs: list[float], logits: Any) -> Iterator[Row]:
        for index, (row, token, logprob) in enumerate(zip(self.rows, tokens, logprobs, strict=True)):
            if row.finished:
                continue
            if logprob != logprob or not torch.isfinite(logits[index, token]):
                raise SamplingError(
                    f"{row.request.request_id}: the model's logits are not finite; check its weights or set engine.dtype=float32"
                )
            row.tokens.append(token)
            row.logprobs.append(logprob)
            row.finished = token in self._end_tokens or len(row.tokens) == row.limit
            if row.finished:
                yield row


def _prefill_groups(requests: list[Request]) -> Iterator[list[Request]]:
    """Cut into groups of at most `PREFILL_TOKENS` (one prompt at least); equal prompts count once."""
    group: list[Request] = []
    prompts = 0
    for _, equal in groupby(requests, key=lambda r: r.prompt_token_ids):
        members = list(equal)
        longest = max(len(r.prompt_token_ids) for r in (*group, *members))
        if group and (prompts + 1) * longest > PREFILL_TOKENS:
            yield group
            group, prompts = [], 0
        group += members
        prompts += 1
    if group:
        yield group
