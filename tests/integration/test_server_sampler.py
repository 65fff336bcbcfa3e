"""The server engine against a stand-in on the loopback interface that answers as vLLM does, with a real tiny model behind it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import SamplingError
from ssd_plugin.sampling import open_sampler, server
from ssd_plugin.sampling.protocol import Completion, Request, Sampler, SamplingParams

SAMPLED = SamplingParams(temperature=1.3, top_k=12, top_p=0.9, max_new_tokens=20)
GREEDY = SamplingParams(temperature=0.0, top_k=0, top_p=1.0, max_new_tokens=12)


class StandIn:
    """Serves one model; `served`, `tokenizer` and `failures` (answers of 503 before the next good one) may be changed."""

    def __init__(self, model: Path) -> None:
        self.served = str(model)
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.failures = 0
        self.token_ids = True
        self.asked: list[dict[str, Any]] = []
        self._sampler = open_sampler(model, EngineConfig(dtype="float32"))
        self._lock = threading.Lock()

    def answer(self, path: str, body: Any) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": self.served, "root": self.served, "max_model_len": 256}]}
        if path == "/tokenize":
            return {"tokens": self.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]}
        assert path == "/v1/completions"
        with self._lock:
            self.asked.append(body)
            if self.failures:
                self.failures -= 1
                return None
            params = SamplingParams(
                temperature=body["temperature"],
                top_k=body["top_k"],
                top_p=body["top_p"],
                max_new_tokens=body["max_tokens"],
            )
            request = Request(request_id="r", prompt_token_ids=tuple(body["prompt"]), seed=body["seed"])
            (done,) = self._sampler.sample([request], params)
        choice: dict[str, Any] = {"text": done.text, "finish_reason": done.finish_reason}
        return {"choices": [choice | ({"token_ids": done.token_ids} if self.token_ids else {})]}


@contextmanager
def serving(stand_in: StandIn) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(stand_in.answer(self.path, None))

        def do_POST(self) -> None:
            self._send(stand_in.answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _send(self, answer: Any) -> None:
            self.send_response(503 if answer is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()


@pytest.fixture
def stand_in(tiny_llama: Path) -> StandIn:
    return StandIn(tiny_llama)


@pytest.fixture
def url(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(server, "PAUSE", 0.01)
    with serving(stand_in) as address:
        yield address


def connect(model: Path, url: str, rows: int = 4) -> Sampler:
    return open_sampler(model, EngineConfig(name="server", server_url=url, max_rows=rows))


def requests(count: int) -> list[Request]:
    return [Request(request_id=f"r{i}", prompt_token_ids=(5, 9, 20 + i), seed=i) for i in range(count)]


def by_id(found: Iterator[Completion]) -> dict[str, tuple[tuple[int, ...], str, str]]:
    return {c.request_id: (c.token_ids, c.finish_reason, c.text) for c in found}


@pytest.mark.parametrize("params", [SAMPLED, GREEDY])
def test_completions_are_those_of_the_model_behind_it(params: SamplingParams, tiny_llama: Path, url: str) -> None:
    expected = open_sampler(tiny_llama, EngineConfig(dtype="float32")).sample(requests(20), params)
    assert by_id(connect(tiny_llama, url).sample(requests(20), params)) == by_id(expected)


def test_requests_are_streamed(tiny_llama: Path, url: str) -> None:
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        while True:
            taken += 1
            yield Request(request_id=str(taken), prompt_token_ids=(5, 6), seed=taken)

    stream = connect(tiny_llama, url).sample(endless(), SAMPLED)
    for _ in range(20):
        next(stream)
    assert taken <= 24


def test_a_busy_server_is_asked_again(tiny_llama: Path, url: str, stand_in: StandIn) -> None:
    stand_in.failures = 3
    assert len(by_id(connect(tiny_llama, url, rows=1).sample(requests(2), SAMPLED))) == 2
    stand_in.failures = 4
    with pytest.raises(SamplingError, match="503"):
        list(connect(tiny_llama, url, rows=1).sample(requests(2), SAMPLED))


def test_a_prompt_that_fills_the_context_is_named_and_not_sent(tiny_llama: Path, url: str, stand_in: StandIn) -> None:
    with pytest.raises(SamplingError, match="too-long"):
        list(
            connect(tiny_llama, url).sample(
                [Request(request_id="too-long", prompt_token_ids=(5,) * 256, seed=1)], SAMPLED
            )
        )
    assert stand_in.asked == []


def test_another_model_is_refused(tiny_llama: Path, url: str, stand_in: StandIn) -> None:
    stand_in.served = "/models/other"
    with pytest.raises(SamplingError, match="serves /models/other, this stage needs"):
        connect(tiny_llama, url)


def test_another_tokenizer_is_refused(tiny_llama: Path, url: str, stand_in: StandIn) -> None:
    stand_in.tokenizer.add_tokens(["def f"])
    with pytest.raises(SamplingError, match="tokenizer is not that of"):
        connect(tiny_llama, url)


def test_a_server_without_token_ids_is_refused(tiny_llama: Path, url: str, stand_in: StandIn) -> None:
    stand_in.token_ids = False
    with pytest.raises(SamplingError, match="holds no token_ids"):
        list(connect(tiny_llama, url).sample(requests(1), SAMPLED))


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/v1", "http://127.0.0.1:9/v1"])
def test_no_server_is_named(address: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSE", 0.01)
    with pytest.raises(SamplingError, match=r"127\.0\.0\.1"):
        connect(tiny_llama, address)
