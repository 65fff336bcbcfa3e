"""Real vLLM on the CPU: the suite that every `Sampler` passes, two replicas, and vLLM's own server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import ModelError, SamplingError
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.protocol import Request

pytestmark = pytest.mark.frameworks
pytest.importorskip("vllm", reason="needs vLLM: make frameworks")

from vllm_conformance import FIXTURES, SAMPLED, SUITE, by_id, requests, started  # noqa: E402

globals().update(SUITE | FIXTURES)


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
