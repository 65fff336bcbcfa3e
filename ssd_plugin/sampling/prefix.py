"""Prefill: keys and values of prompts, those of the beginning that all prompts share (system message, chat markup) once."""

from itertools import takewhile

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

SHORTEST = 8
"""A shared beginning of fewer tokens is not worth a pass of its own."""

Prompt = tuple[int, ...]


class Prefix:
    """The beginning that the first prompts had in common, for as long as later ones have it too."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._tokens: Prompt = ()
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []  # keys and values, "1 head position dim"

    def prefill(self, prompts: list[Prompt]) -> DynamicCache | None:
        """Keys and values of the prompts without their last tokens; None where that leaves nothing. Padding stands right,
        where causality hides it."""
        read = [prompt[:-1] for prompt in prompts]
        if not self._tokens and len(read) > 1:
            self._learn(common(read))
        cache = DynamicCache()
        start = len(self._tokens) if self._tokens and common([self._tokens, *read]) == self._tokens else 0
        if start:
            for index, (keys, values) in enumerate(self._layers):
                cache.update(keys.expand(len(read), -1, -1, -1), values.expand(len(read), -1, -1, -1), index)
        length = max(map(len, read)) - start
        if length:
            ids = torch.zeros(len(read), length, dtype=torch.long)
            for row, tokens in enumerate(read):
                ids[row, : len(tokens) - start] = torch.tensor(tokens[start:])
            self._pass(ids, cache)
        return cache if start + length else None

    def _learn(self, tokens: Prompt) -> None:
        if len(tokens) >= SHORTEST:
            cache = DynamicCache()
            self._pass(torch.tensor([tokens]), cache)
            self._tokens, self._layers = tokens, [(keys, values) for keys, values, _ in cache]

    def _pass(self, ids: torch.Tensor, cache: DynamicCache) -> None:
        self._model(input_ids=ids.to(self._model.device), past_key_values=cache, use_cache=True, logits_to_keep=1)


def common(sequences: list[Prompt]) -> Prompt:
    """The longest beginning that all have."""
    first, last = min(sequences), max(sequences)  # in between, every sequence begins as these two do
    return tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
