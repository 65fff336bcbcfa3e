"""A tokenizer that sampler and trainer do not share is refused by the installed command before anything is sampled."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SSD = Path(sys.executable).with_name("ssd")
SETTINGS = ("prompts.limit=4", "select.data.limit=3", "evaluate.data.limit=4", "sampling.max_new_tokens=16")


def refused(model: Path, run_dir: Path, *sets: str) -> str:
    """The one line of the refusal; nothing was sampled."""
    words = [word for text in (f"model.ref={model}", *SETTINGS, *sets) for word in ("--set", text)]
    command = [str(SSD), "run", "ssd_smollm2_135m", "--run-dir", str(run_dir), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 3, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ssd: ")]
    assert "Traceback" not in done.stderr
    assert not (run_dir / "sample/completions.jsonl").exists()
    return line


def test_two_interpreters_that_read_tokens_differently(tiny_llama: Path, tmp_path: Path) -> None:
    other = tmp_path / "python"
    answer = json.dumps({"digest": "f" * 64, "transformers": "4.0"})
    other.write_text(
        f'#!/bin/sh\ncase "$*" in *sampling.tokenizer*) echo \'{answer}\';; *) exec {sys.executable} "$@";; esac\n'
    )
    other.chmod(0o755)
    line = refused(tiny_llama, tmp_path / "run", f"python.train={other}")
    assert f"python.sample = {sys.executable}" in line
    assert f"python.train = {other}" in line
    assert "digest ffffffffffff with transformers 4.0" in line


@pytest.fixture
def server(tiny_llama: Path) -> Iterator[str]:
    """Serves the model under its own name, with a tokenizer of bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({"data": [{"id": str(tiny_llama), "max_model_len": 256}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer({"tokens": list(body["prompt"].encode())})

        def answer(self, value: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


def test_a_server_with_another_tokenizer(tiny_llama: Path, server: str, tmp_path: Path) -> None:
    line = refused(tiny_llama, tmp_path / "run", "engine.name=server", f"engine.server_url={server}")
    assert server in line
    assert str(tiny_llama) in line
    assert "tokenizer" in line
