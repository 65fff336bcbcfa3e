"""A model behind a server with an OpenAI-compatible API: chat completions, one a request. The server renders the prompt."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from ssd_plugin.config.generating import ServerConfig
from ssd_plugin.errors import ConfigError, SamplingError
from ssd_plugin.sampling.http_json import JsonServer, Refused
from ssd_plugin.sampling.protocol import SamplingParams

ANSWERING = 3600.0  # seconds for one completion
ENDS = ("stop", "length", "content_filter", "tool_calls", "function_call", "eos_token", "stop_sequence")
"""What a server may call the end of a completion. Others ("abort", "error") say that it was cut off: it is asked for again."""

OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One completion asked for. `seed`: 0 to 2^31 - 1, which every server that has seeds can read."""

    request_id: str
    messages: tuple[Mapping[str, str], ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """One completion. The counts are the server's own; None where it gives none."""

    request_id: str
    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


class ChatServer:
    """One served model; a context manager. `root`: what the server says that the name stands for, "" where it does not.
    `seeded`: whether the server takes seeds, as far as is known.

    Raises:
        ConfigError: the key's variable is empty.
        SamplingError: no answer, or the server has no such model (says which it has).
    """

    def __init__(self, config: ServerConfig, model: str, reasoning_effort: str = "default") -> None:
        self._server = JsonServer(config.url, key=_key(config.key_env), most=config.concurrency, seconds=ANSWERING)
        self.model, self.root, self.seeded = model, "", True
        self._limit = OLD_LIMIT
        self._extra = {} if reasoning_effort == "default" else {"reasoning_effort": reasoning_effort}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            stack.enter_context(self._server)
            self.root = self._find()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def complete(self, requests: Iterable[ChatRequest], params: SamplingParams) -> Iterator[ChatAnswer]:
        """One answer a request, each as soon as it is there, in any order.

        Raises:
            SamplingError: the server fails, refuses, or answers with another model.
        """

        async def answer(request: ChatRequest) -> ChatAnswer:
            while True:
                sent = self._limit, self.seeded
                try:
                    return await self._server.ask(
                        "chat/completions",
                        lambda found: self._read(found, request.request_id),
                        self._body(request, params),
                    )
                except Refused as refusal:
                    if not self._give_way(refusal) and sent == (self._limit, self.seeded):
                        raise SamplingError(f"{request.request_id}: {refusal}") from None

        return self._server.each(answer, requests)

    def _body(self, request: ChatRequest, params: SamplingParams) -> dict[str, Any]:
        body = {
            "model": self.model,
            "messages": list(request.messages),
            "temperature": params.temperature,
            "top_p": params.top_p,
            self._limit: params.max_new_tokens,
        }
        body |= {"top_k": params.top_k} if params.top_k else {}  # not OpenAI's own: sent only where it was asked for
        return body | ({"seed": request.seed} if self.seeded else {}) | self._extra

    def _give_way(self, refusal: Refused) -> bool:
        """Whether what the server refuses is a form that it has another of, or a seed, which it may do without."""
        if refusal.status not in (400, 422):
            return False
        if NEW_LIMIT in refusal.reason and self._limit == OLD_LIMIT:
            self._limit = NEW_LIMIT
        elif "seed" in refusal.reason and self.seeded:
            self.seeded = False
        else:
            return False
        return True

    def _read(self, found: Any, request_id: str) -> ChatAnswer:
        """The answer; what cannot be read raises what `JsonServer.ask` asks again for."""
        choice = found["choices"][0]
        text, end = choice["message"].get("content") or "", choice["finish_reason"]
        if not isinstance(text, str) or end not in ENDS:
            raise ValueError(f"an answer that ended with {end!r:.40} and text of type {type(text).__name__}")
        if found["model"] != self.model:
            raise SamplingError(
                f"{self._server.url} answers as {found['model']!r:.200}, not as {self.model}; where that is the model to be "
                "judged, name it with --model"
            )
        usage = found.get("usage") or {}
        return ChatAnswer(
            request_id=request_id,
            text=text,
            finish_reason=end,
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
        )

    def _find(self) -> str:
        def read(found: Any) -> dict[str, str]:
            return {str(entry["id"]): str(entry.get("root") or "") for entry in found["data"]}

        served = self._server.get("models", read)
        if self.model not in served:
            names = ", ".join(sorted(served)[:20]) + f" and {len(served) - 20} more" * (len(served) > 20)
            raise SamplingError(
                f"{self._server.url} has no model {self.model}; --model names one of: {names or 'none'}"
            )
        return served[self.model]


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _key(variable: str) -> str:
    """The key that lies in an environment variable; "" where none is named.

    Raises:
        ConfigError: the variable is not set, or holds what no header can.
    """
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"--key-env {variable}: that variable is not set, or holds no key; export it first")
    return key
