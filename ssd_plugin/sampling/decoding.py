"""A batch of rows that decode together: prefill, one step for all, and turnover.

Rows that have read the same tokens are one lane: the model reads it once and each row draws by its own random numbers. A lane
splits when they draw differently, so that several samples of a task cost one as far as they agree.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NoReturn

import numpy
import torch
from transformers import PreTrainedModel

from ssd_plugin.errors import SamplingError
from ssd_plugin.sampling import heap
from ssd_plugin.sampling.prefix import Prefix
from ssd_plugin.sampling.protocol import Request, SamplingParams
from ssd_plugin.sampling.slots import SlotCache
from ssd_plugin.sampling.token_draw import draw

PREFILL_TOKENS = 1024
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


Lane = list[Row]
"""Rows with the same tokens so far."""


class Batch:
    """Lanes in the slots of one cache: `lanes[i]` lives in slot i. A finished row keeps its place until `turn_over`."""

    def __init__(
        self, model: PreTrainedModel, params: SamplingParams, end_tokens: frozenset[int], context: int
    ) -> None:
        self.lanes: list[Lane] = []
        self._model, self._params, self._end_tokens, self._context = model, params, end_tokens, context
        config = model.config.get_text_config()
        self._cache = SlotCache(config.num_hidden_layers)
        self._prefix = Prefix(model)
        self._window: int | None = (
            config.sliding_window if "sliding_attention" in (getattr(config, "layer_types", None) or ()) else None
        )

    @property
    def rows(self) -> list[Row]:
        """All rows, lane by lane."""
        return [row for lane in self.lanes for row in lane]

    @torch.inference_mode()
    def turn_over(self) -> None:
        """Drop finished rows, split lanes whose rows drew different tokens, and free the slots of empty lanes; the lanes
        behind them move up."""
        for slot in range(len(self.lanes) - 1, -1, -1):
            paths: defaultdict[int, Lane] = defaultdict(list)
            for row in self.lanes[slot]:
                if not row.finished:
                    paths[row.last_token].append(row)
            if not paths:
                self._cache.remove(slot)
                last = self.lanes.pop()
                if slot < len(self.lanes):
                    self.lanes[slot] = last
                continue
            self.lanes[slot], *others = paths.values()
            self._cache.fork(slot, len(others))
            self.lanes += others

    @torch.inference_mode()
    def admit(self, requests: list[Request]) -> None:
        """Prefill all but the last prompt token; that one is read by the first common step. Equal prompts share a lane.

        Raises:
            SamplingError: a prompt is empty or leaves no room in the context.
        """
        for group in _prefill_groups(requests):
            lanes: defaultdict[tuple[int, ...], Lane] = defaultdict(list)
            for request in group:
                lanes[request.prompt_token_ids].append(self._new_row(request))
            self.lanes += lanes.values()
            prompts = list(lanes)
            self._cache.extend(self._prefix.prefill(prompts), [len(prompt) - 1 for prompt in prompts])
            heap.release()  # activations, keys and values of up to PREFILL_TOKENS tokens

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
                input_ids=torch.tensor([[lane[0].last_token] for lane in self.lanes], device=device),
                position_ids=positions[:, None],
                attention_mask=self._masks(positions, visible),
                past_key_values=self._cache,
                use_cache=True,
            )
            .logits[:, -1]
            .float()
        )
        rows = self.rows
        lanes = torch.tensor([slot for slot, lane in enumerate(self.lanes) for _ in lane], device=device)
        uniforms = torch.tensor([row.uniforms.random() for row in rows], dtype=torch.float64, device=device)
        tokens, logprobs = draw(logits, self._params, uniforms, lanes)
        finite = logprobs.isfinite() & logits[lanes, tokens].isfinite()
        if not finite.all():
            self._refuse(rows[int(finite.int().argmin())])
        return list(self._record(rows, tokens.tolist(), logprobs.tolist()))

    def _masks(self, positions: torch.Tensor, visible: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """What every kind of layer adds to its scores, "rows 1 1 extent": made once a step, where attention would turn a mask
        of booleans into it layer by layer."""
        if self._window is None:
            return self._as_mask(visible)
        recent = torch.arange(visible.shape[1], device=visible.device) > positions[:, None] - self._window
        return {"full_attention": self._as_mask(visible), "sliding_attention": self._as_mask(visible & recent)}

    def _as_mask(self, visible: torch.Tensor) -> torch.Tensor:
        mask = visible[:, None, None, :]
        lowest = torch.finfo(self._model.dtype).min
        return torch.zeros_like(mask, dtype=self._model.dtype).masked_fill(~mask, lowest)

    def _refuse(self, row: Row) -> NoReturn:
        raise SamplingError(
            f"{row.request.request_id}: the model's logits are not finite; check its weights or set engine.dtype=float32"
        )

    def _record(self, rows: list[Row], tokens: list[int], logprobs: list[float]) -> Iterator[Row]:
        for row, token, logprob in zip(rows, tokens, logprobs, strict=True):
            if row.finished:
                continue
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
