"""A running OpenAI-compatible server of vLLM's as the engine: prompts go out as token ids and come back as token ids."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import SamplingError
from ssd_plugin.sampling.prompting import end_token_ids, open_tokenizer
from ssd_plugin.sampling.protocol import Completion, Request, SamplingParams

MAX_ROWS = 1024  # requests at a time where engine.max_rows is 0: vLLM's default batch on GPUs with 70 GiB and more
TIMEOUT = 6 * 3600.0  # seconds for one completion: 128K tokens at 6 a second
TRIES = 4  # a request, the first included
PAUSE = 1.0  # seconds before the second try; doubled each time
PROBE = "def f(x):\n    return x + 1  # naïve — 你好 <think> <|im_end|>\n"


class ServerSampler:
    """Up to `max_rows` requests at a time against `server_url`. The server must serve exactly this model's directory.

    Raises:
        SamplingError: no answer, another model, or another tokenizer than the model directory's.
    """

    def __init__(self, model_dir: Path, engine: EngineConfig) -> None:
        self._base = engine.server_url.rstrip("/")
        if urllib.parse.urlsplit(self._base).scheme not in ("http", "https"):
            raise SamplingError(f"engine.server_url = {engine.server_url!r} is not a http:// or https:// address")
        self._rows = engine.max_rows or MAX_ROWS
        self._tokenizer = open_tokenizer(model_dir)
        self._end_tokens = end_token_ids(model_dir, self._tokenizer)
        self._model, self._context = self._find_model(model_dir)
        self._require_tokenizer(model_dir)

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`."""
        source = iter(requests)
        flying: set[Future[Completion]] = set()
        pool = ThreadPoolExecutor(self._rows, thread_name_prefix="server-request")
        try:
            while True:
                for request in islice(source, self._rows - len(flying)):
                    flying.add(pool.submit(self._complete, request, params))
                if not flying:
                    return
                finished, flying = wait(flying, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Nothing to free: the server is not ours."""

    def _complete(self, request: Request, params: SamplingParams) -> Completion:
        room = self._context - len(request.prompt_token_ids)
        if room < 1:
            raise SamplingError(
                f"{request.request_id}: its prompt of {len(request.prompt_token_ids)} tokens fills the server's context of "
                f"{self._context}: drop the task, or start the server with a longer --max-model-len"
            )
        answer = self._call(
            "completions",
            {
                "model": self._model,
                "prompt": list(request.prompt_token_ids),
                "max_tokens": min(params.max_new_tokens, room),
                "temperature": params.temperature,
                "top_k": params.top_k,
                "top_p": params.top_p,
                "seed": request.seed,
                "stop_token_ids": sorted(self._end_tokens),
                "return_token_ids": True,
            },
        )
        return self._completion(request, answer)

    def _completion(self, request: Request, answer: Any) -> Completion:
        try:
            tokens = [int(token) for token in answer["choices"][0]["token_ids"]]
            last = tokens[-1]
        except (KeyError, IndexError, TypeError, ValueError):
            raise SamplingError(
                f"{self._base}: its answer holds no token_ids; the server must be vLLM 0.11 or later"
            ) from None
        return Completion(
            request_id=request.request_id,
            text=str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)),
            token_ids=tuple(tokens),
            finish_reason="stop" if last in self._end_tokens else "length",
        )

    def _find_model(self, model_dir: Path) -> tuple[str, int]:
        """The served name and context (tokens) of the model; another one would silently be sampled in its place."""
        wanted = {str(model_dir), str(model_dir.resolve())}
        served = self._call("models")
        try:
            for entry in served["data"]:
                if {entry["id"], entry.get("root")} & wanted:
                    return entry["id"], int(entry["max_model_len"])
            names = ", ".join(str(entry["id"]) for entry in served["data"])
        except (KeyError, TypeError, ValueError):
            raise SamplingError(f"{self._base}/models: not an answer of a vLLM server") from None
        raise SamplingError(
            f"{self._base} serves {names or 'nothing'}, this stage needs {model_dir}: start it with: vllm serve {model_dir}"
        )

    def _require_tokenizer(self, model_dir: Path) -> None:
        root = self._base.removesuffix("/v1")
        answer = self._call(f"{root}/tokenize", {"model": self._model, "prompt": PROBE, "add_special_tokens": False})
        expected = self._tokenizer(PROBE, add_special_tokens=False)["input_ids"]
        if not isinstance(answer, dict) or answer.get("tokens") != expected:
            raise SamplingError(
                f"{self._base}: its tokenizer is not that of {model_dir}; what it sampled could not be trained on"
            )

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST `body` (or GET) as JSON; a server that is busy or restarting is asked again."""
        url = path if path.startswith("http") else f"{self._base}/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
                    return json.load(response)
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.read(500).decode(errors='replace')}"
                if error.code < 500 and error.code != 429:
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"
            time.sleep(PAUSE * 2**attempt if attempt + 1 < TRIES else 0)
        raise SamplingError(f"{url}: {' '.join(reason.split())}; is the server running?")
