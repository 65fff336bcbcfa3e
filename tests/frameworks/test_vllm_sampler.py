"""Real vLLM on the CPU: the suite that every `Sampler` passes, two replicas, and vLLM's own server."""

import functools
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ssd_plugin.config import EngineConfig
from ssd_plugin.errors import ModelError, SamplingError
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.protocol import Completion, Request, Sampler, SamplingParams

pytestmark = pytest.mark.frameworks
pytest.importorskip("vllm", reason="needs vLLM: make frameworks")

from tiny_models import save_model  # noqa: E402

from ssd_plugin.sampling import vllm  # noqa: E402

SAMPLED = SamplingParams(temperature=1.3, top_k=12, top_p=0.9, max_new_tokens=20)


def load_suite() -> ModuleType:
    """The conformance suite, which lies in the neighbouring folder and runs there on the other engines."""
    path = Path(__file__).parents[1] / "integration/test_sampler_conformance.py"
    spec = importlib.util.spec_from_file_location("sampler_conformance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SUITE = {name: test for name, test in vars(load_suite()).items() if name.startswith("test_")}
assert len(SUITE) >= 8
globals().update(SUITE)


@functools.cache
def started(model: Path) -> Sampler:
    """One engine a model: starting takes longer than all that is asked of it."""
    return open_sampler(model, EngineConfig(name="vllm", dtype="float32"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], Sampler]:
    """What the suite asks for; the engine sees no more than 64 requests at once."""
    monkeypatch.setattr(vllm, "IN_FLIGHT", 64)
    return lambda model, _rows: started(model)


@functools.cache
def saved(folder: Path, kind: str) -> Path:
    """vLLM's attention on CPUs needs heads of 32 or more."""
    return save_model(folder / kind, kind, head_dim=32, hidden_size=64)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def tiny_llama(folder: Path) -> Path:
    return saved(folder, "llama")


@pytest.fixture(params=["llama", "qwen3"])
def tiny_model(folder: Path, request: pytest.FixtureRequest) -> Path:
    return saved(folder, request.param)


def requests(count: int) -> list[Request]:
    return [Request(request_id=f"r{i}", prompt_token_ids=(5, 9, 20 + i), seed=i) for i in range(count)]


def by_id(found: Iterator[Completion]) -> dict[str, Any]:
    return {c.request_id: (c.token_ids, c.text, c.finish_reason) for c in found}


def test_two_replicas_complete_what_one_does(tiny_llama: Path) -> None:
    expected = by_id(started(tiny_llama).sample(requests(150), SAMPLED))
    sampler = open_sampler(tiny_llama, EngineConfig(name="vllm", dtype="float32", data_parallel=2))
    try:
        assert by_id(sampler.sample(requests(150), SAMPLED)) == expected
        with pytest.raises(SamplingError, match="too-long"):
            list(sampler.sample([Request(request_id="too-long", prompt_token_ids=(5,) * 256, seed=1)], SAMPLED))
    finally:
        sampler.close()


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        open_sampler(tmp_path, EngineConfig(name="vllm"))


@pytest.fixture
def server(tiny_llama: Path, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    options = ["--model", str(tiny_llama), "--dtype", "float32", "--enforce-eager"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 1500
        while "startup complete" not in (tmp_path / "server.log").read_text():
            assert process.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_running_server_completes_what_the_engine_does(server: str, tiny_llama: Path) -> None:
    expected = by_id(started(tiny_llama).sample(requests(30), SAMPLED))
    sampler = open_sampler(tiny_llama, EngineConfig(name="server", server_url=server, max_rows=8))
    assert by_id(sampler.sample(requests(30), SAMPLED)) == expected
