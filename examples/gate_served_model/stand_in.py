"""Serves two "models" through an OpenAI-compatible API on the loopback interface while a command runs.

python3 stand_in.py COMMAND: in place of a model, so that the example runs anywhere. They read the example's statements, and
one of them is a little less careful.
"""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ("champion-1", "candidate-2")
STATEMENT = re.compile(r"Write `(?P<name>\w+)\(x\)` that returns (?P<value>.+)\.")


def answer(model: str, messages: list[dict[str, str]], seed: int) -> str:
    """What a model says to the last message."""
    name, value = STATEMENT.fullmatch(messages[-1]["content"]).group("name", "value")
    slip = model == MODELS[1] and seed % 100 == 0
    return f"{model} suggests:\n```python\ndef {name}(x):\n    return {'None' if slip else value}\n```\n"


def completion(body: dict) -> dict:
    """The body of a good answer."""
    text = answer(body["model"], body["messages"], body["seed"])
    return {
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": len(body["messages"][-1]["content"].split()),
            "completion_tokens": len(text.split()),
        },
    }


class Api(BaseHTTPRequestHandler):
    """GET /v1/models and POST /v1/chat/completions."""

    wbufsize = -1  # headers and body in one packet
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    def do_POST(self) -> None:
        self.send(completion(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def send(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names = {"SERVER": f"http://127.0.0.1:{server.server_port}/v1", "CHAMPION": MODELS[0], "CANDIDATE": MODELS[1]}
    sys.exit(subprocess.run(sys.argv[1:], env=os.environ | names).returncode)
