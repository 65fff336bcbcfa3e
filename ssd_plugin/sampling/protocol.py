"""What the pipeline asks of a sampling engine. Every engine runs the same conformance suite."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]

THOUGHT, THOUGHT_ENDS = "<think>", "</think>"
"""What opens and closes a reasoning model's thought; some templates end in the first (Qwen3-4B-Thinking-2507)."""


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Temperature (0 = greedy), then top-k (0 = off), then top-p over the survivors (1 = off): the paper's order.
    `max_new_tokens` counts completion tokens, the end-of-turn token included."""

    temperature: float
    top_k: int
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion asked for. The same model, prompt, params and seed give the same completion, whatever else is asked, in
    float32; in bfloat16 products are rounded by how many rows are multiplied at once, so other company may change it."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One completion. `token_ids` end with the end-of-turn token when `finish_reason` is "stop"; `text` leaves special
    tokens out. `logprobs`: of the drawn tokens under the distribution they were drawn from, None if the engine has none."""

    request_id: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[float, ...] | None = None


class Sampler(Protocol):
    """A loaded model that completes prompts."""

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """Yield one completion a request, each as soon as it is finished, in any order.

        Raises:
            SamplingError: the engine failed, or a prompt leaves no room in the model's context.
            ResourceError: out of memory.
        """

    def close(self) -> None:
        """Free the model; the sampler is of no use afterwards."""
