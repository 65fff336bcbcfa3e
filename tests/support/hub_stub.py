"""A stand-in for the model hub on the loopback interface: serves one data set's files as the hub's own protocol does."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What the stand-in serves, and what it was asked for."""

    name: str
    commit: str
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
            if path.startswith(f"/datasets/{hub.name}/resolve/"):
                _, _, name = path.removeprefix(f"/datasets/{hub.name}/resolve/").partition("/")
                self._file(name)
            elif path.startswith(f"/api/datasets/{hub.name}/tree/"):
                _, _, folder = path.removeprefix(f"/api/datasets/{hub.name}/tree/").partition("/")
                self._json(listing(hub, folder, recursive="recursive=true" in query.lower()))
            elif path == f"/api/datasets/{hub.name}" or path.startswith(f"/api/datasets/{hub.name}/revision/"):
                self._json({"id": hub.name, "sha": hub.commit, "siblings": [{"rfilename": name} for name in hub.files]})
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
            headers = {
                "ETag": f'"{hashlib.sha256(body).hexdigest()}"',
                "X-Repo-Commit": hub.commit,
                "Accept-Ranges": "bytes",
            }
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
    return {"type": "file", "path": name, "size": len(hub.files[name]), "oid": hub.commit}


def listing(hub: Hub, folder: str, recursive: bool) -> list[dict[str, object]]:
    inside = [name for name in hub.files if not folder or name.startswith(f"{folder}/")]
    children = dict.fromkeys(
        f"{folder}/".lstrip("/") + name.removeprefix(folder).lstrip("/").split("/")[0] for name in inside
    )
    folders = [
        {"type": "directory", "path": name, "size": 0, "oid": hub.commit} for name in children if name not in hub.files
    ]
    return folders + [entry(hub, name) for name in inside if recursive or name in children]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """`hub` with its address, while the server runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()
