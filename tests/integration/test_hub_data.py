"""Data sets through `datasets`: a directory, and a stand-in for the hub on the loopback interface."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow
import pyarrow.parquet
import pytest

from ssd_plugin.config import DataConfig
from ssd_plugin.data.sources import load_tasks
from ssd_plugin.errors import DataError

pa: Any = pyarrow
NAME, COMMIT = "acme/Coder", "0123456789abcdef0123456789abcdef01234567"
CARD = "---\nconfigs:\n- config_name: seed_sft\n  data_files:\n  - split: train\n    path: seed_sft/*.parquet\n---\n"
STATEMENTS = [("Add  two.", ""), ("Add two.", ""), ("Sub.", "def f():"), ("", ""), ("Mul.", None)]


def write_parquet(path: Path, response_bytes: int = 10) -> None:
    """The columns of microsoft/rStar-Coder, config seed_sft, whose responses are most of its bytes."""
    response = os.urandom(response_bytes).hex()
    rows = [
        {"question_id": f"q{i}", "question": text, "starter_code": code, "response": response[i:], "is_passed": True}
        for i, (text, code) in enumerate(STATEMENTS)
    ]
    path.parent.mkdir(parents=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


@dataclass
class Hub:
    """What the stand-in serves, and what it was asked for."""

    files: dict[str, bytes]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    sent: int = 0


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            wanted = json.loads(self.rfile.read(length) or b"{}").get("paths", [])
            self._json([entry(hub, name) for name in hub.files if name in wanted])

        def do_GET(self) -> None:
            path, query = unquote(urlsplit(self.path).path), urlsplit(self.path).query
            hub.asked.append(f"{path}?{query}")
            if path.startswith(f"/datasets/{NAME}/resolve/"):
                _, _, name = path.removeprefix(f"/datasets/{NAME}/resolve/").partition("/")
                self._file(name)
            elif path.startswith(f"/api/datasets/{NAME}/tree/"):
                _, _, folder = path.removeprefix(f"/api/datasets/{NAME}/tree/").partition("/")
                self._json(listing(hub, folder, recursive="recursive=true" in query.lower()))
            elif path == f"/api/datasets/{NAME}" or path.startswith(f"/api/datasets/{NAME}/revision/"):
                self._json({"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]})
            else:
                self._missing("RepoNotFound")

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _missing(self, code: str) -> None:
            self._send(404, b"{}", {"X-Error-Code": code})

        def _file(self, name: str) -> None:
            if name not in hub.files:
                self._missing("EntryNotFound")
                return
            body, status = hub.files[name], 200
            headers = {"ETag": f'"{len(body):x}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if wanted := self.headers.get("Range", "").removeprefix("bytes="):
                first, _, last = wanted.partition("-")
                end = min(int(last or len(body) - 1), len(body) - 1)
                headers["Content-Range"] = f"bytes {first}-{end}/{len(body)}"
                body, status = body[int(first) : end + 1], 206
            self._send(status, body, headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                hub.sent += len(body)
                self.wfile.write(body)

    return Handler


def entry(hub: Hub, name: str) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(hub.files[name]), "oid": COMMIT}


def listing(hub: Hub, folder: str, recursive: bool) -> list[dict[str, object]]:
    inside = [name for name in hub.files if not folder or name.startswith(f"{folder}/")]
    children = dict.fromkeys(
        f"{folder}/".lstrip("/") + name.removeprefix(folder).lstrip("/").split("/")[0] for name in inside
    )
    folders = [
        {"type": "directory", "path": name, "size": 0, "oid": COMMIT} for name in children if name not in hub.files
    ]
    return folders + [entry(hub, name) for name in inside if recursive or name in children]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    data = tmp_path / "stub" / "train-00000.parquet"
    write_parquet(data, response_bytes=3_000_000)
    stub = Hub(files={"README.md": CARD.encode(), "seed_sft/train-00000.parquet": data.read_bytes()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(stub))
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


PROGRAM = """
import json, sys
from ssd_plugin.config import DataConfig
from ssd_plugin.data.sources import load_tasks
from ssd_plugin.errors import SsdError
for data in json.loads(sys.argv[1]):
    try:
        print(json.dumps([task.to_json() for task in load_tasks(DataConfig(**data))]))
    except SsdError as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""
SEED_SFT = {"source": f"hub:{NAME}", "config": "seed_sft", "split": "train", "revision": COMMIT}


def load(home: Path, url: str, *sources: dict[str, Any], **environment: str) -> list[Any]:
    """Tasks or the error of each source, from a process of its own: the hub's address is read when `datasets` is imported."""
    env = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    command = [sys.executable, "-c", PROGRAM, json.dumps(sources)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_prompts_stream_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    data = {**SEED_SFT, "columns": "prompt=question,starter_code=starter_code", "deduplicate": True}
    (tasks,) = load(tmp_path, hub.url, data)
    assert [(t["task_id"], t["prompt"], t.get("starter_code", "")) for t in tasks] == [
        (f"{NAME}/seed_sft/train/1", "Add  two.", ""),
        (f"{NAME}/seed_sft/train/3", "Sub.", "def f():"),
        (f"{NAME}/seed_sft/train/5", "Mul.", ""),
    ]
    assert any(COMMIT in path for path in hub.asked)
    assert hub.sent < sum(map(len, hub.files.values())) / 2, "columns that are not mapped stay where they are"


def test_what_the_hub_does_not_have_is_named(hub: Hub, tmp_path: Path) -> None:
    cases = [
        ({"columns": "prompt=statement"}, "DataError: .*no column 'statement'; its columns are is_passed, question,"),
        ({"columns": "prompt=question", "config": "seed"}, "DataError: .*'seed' not found. Available: .*seed_sft"),
        ({"columns": "prompt=question", "split": "dev"}, "DataError: .*dev.*train"),
        ({"columns": "prompt=question", "source": "hub:acme/none"}, "DataError: .*acme/none.*hf auth login"),
    ]
    errors = load(tmp_path, hub.url, *({**SEED_SFT, **changed} for changed, _ in cases))
    assert len(errors) == len(cases)
    for error, (_, message) in zip(errors, cases, strict=True):
        assert isinstance(error, str)
        assert re.match(message, error), error
        assert "\n" not in error


def test_an_unreachable_hub_says_how_to_give_a_file(tmp_path: Path) -> None:
    data = {**SEED_SFT, "columns": "prompt=question"}
    (error,) = load(tmp_path, "http://127.0.0.1:9", data, HF_HUB_OFFLINE="1")
    assert error.startswith(f"HubUnreachableError: data set {NAME} could not be read")
    assert "give its .jsonl or .parquet file as the source" in error


def test_a_directory_is_read_as_a_data_set(tmp_path: Path) -> None:
    write_parquet(tmp_path / "own" / "train.parquet")
    data = DataConfig(source=str(tmp_path / "own"), columns="prompt=question,task_id=question_id", deduplicate=True)
    assert [task.task_id for task in load_tasks(data)] == ["q0", "q2", "q4"]
    with pytest.raises(DataError, match=r"no column 'text'; its columns are is_passed, question, question_id"):
        list(load_tasks(DataConfig(source=str(tmp_path / "own"), columns="prompt=text")))
