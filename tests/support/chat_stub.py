"""An OpenAI-compatible server on the loopback interface whose answers a test decides, good ones and bad ones."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request. Faults write whatever they like through it."""

    stub: "ChatStub"
    body: dict[str, Any]
    wbufsize = -1  # headers and body in one packet

    def do_GET(self) -> None:
        """The models."""
        self.stub.keys.append(self.headers.get("Authorization"))
        if self.path != "/v1/models":
            self.send_json({"detail": "Not Found"}, 404)
            return
        self.send_json(
            {"object": "list", "data": [{"id": n, "root": f"{self.stub.root}/{n}"} for n in self.stub.models]}
        )

    def do_POST(self) -> None:
        """The next fault, if one waits, else a completion."""
        stub, body = self.stub, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with stub.lock:
            stub.asked.append(body)
            self.body = body
            stub.times.append(time.monotonic())
            fault = stub.faults.pop(0) if stub.faults else stub.always
            stub.busy += 1
            stub.most_busy = max(stub.most_busy, stub.busy)
        try:
            if fault is not None:
                fault(self)
            else:
                good(self)
        finally:
            with stub.lock:
                stub.busy -= 1

    def send_json(self, value: Any, status: int = 200, **headers: str) -> None:
        """A whole answer."""
        self.send_bytes(json.dumps(value).encode(), status, headers=headers)

    def send_bytes(
        self, data: bytes, status: int = 200, length: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """These bytes, with a length of one's own if need be."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = length is not None

    def log_message(self, *_: object) -> None:
        """Quiet."""


class ChatStub:
    """`faults`: what happens to the next requests, in order, before good answers come; `always`: to all after them."""

    def __init__(self, answer: Callable[[dict[str, Any]], str] = lambda body: "def f(x):\n    return x\n") -> None:
        self.models = ["good"]
        self.root = "/models"
        self.answer = answer
        self.answers_as: str | None = None
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str | None] = []
        self.busy = self.most_busy = 0
        self.let_go = threading.Event()
        self.let_go.set()
        self.lock = threading.Lock()

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """A good answer."""
        message = {"role": "assistant", "content": self.answer(body)}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": self.answers_as or body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18},
        }

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The base URL, for as long as it is served."""
        handler = type("Handler", (Exchange,), {"stub": self, "protocol_version": "HTTP/1.1"})
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1"
        finally:
            self.let_go.set()
            http.shutdown()
            http.server_close()


def status(code: int, message: str = "no", **headers: str) -> Fault:
    """An error as OpenAI's API words it."""
    return lambda exchange: exchange.send_json({"error": {"message": message, "type": "t"}}, code, **headers)


def good(exchange: Exchange) -> None:
    """A completion, once it is let go."""
    exchange.stub.let_go.wait()
    exchange.send_json(exchange.stub.completion(exchange.body))


def half(exchange: Exchange) -> None:
    """The connection ends in the middle of the answer."""
    data = json.dumps(exchange.stub.completion({"model": "good"})).encode()
    exchange.send_bytes(data[: len(data) // 2], length=len(data))


def truncated(exchange: Exchange) -> None:
    """A whole answer that holds half a document."""
    data = json.dumps(exchange.stub.completion({"model": "good"})).encode()
    exchange.send_bytes(data[: len(data) // 2])


def says(value: Any) -> Fault:
    """This JSON in the place of a completion."""
    return lambda exchange: exchange.send_json(value)
