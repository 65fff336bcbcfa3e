"""vLLM on an NVIDIA GPU through our sampler: the suite that every `Sampler` passes, and speed and memory, printed."""

import importlib.util
import time
from pathlib import Path

import pytest
from gpu_facts import needs_gpu, peak_memory, show
from tiny_models import save_model
from vllm_conformance import FIXTURES, SUITE, requests

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.protocol import SamplingParams

pytestmark = [
    pytest.mark.gpu,
    needs_gpu,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM: pip install vllm"),
]
globals().update(SUITE | FIXTURES)

PROMPTS, LENGTH = 256, 256
SHAPE = {
    "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 12, "head_dim": 64, "num_attention_heads": 16,
    "num_key_value_heads": 8, "max_position_embeddings": 2048, "initializer_range": 0.02,
}  # fmt: skip


def test_speed_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A random Qwen3 of 190M parameters in bfloat16; the first pass warms the engine up, the second is timed."""
    model = save_model(tmp_path / "model", "qwen3", **SHAPE)
    params = SamplingParams(temperature=1.3, top_k=20, top_p=0.95, max_new_tokens=LENGTH)
    with peak_memory() as peak:
        sampler = open_sampler(model, EngineConfig(name="vllm", dtype="bfloat16"))
        try:
            list(sampler.sample(requests(PROMPTS), params))
            began = time.monotonic()
            found = list(sampler.sample(requests(PROMPTS), params))
            seconds = time.monotonic() - began
        finally:
            sampler.close()
    assert {c.request_id for c in found} == {r.request_id for r in requests(PROMPTS)}
    assert all(1 <= len(c.token_ids) <= LENGTH for c in found)
    tokens = sum(len(c.token_ids) for c in found)
    show(capsys, f"vLLM: {tokens / seconds:,.0f} tokens/s over {tokens} tokens, {peak.gib:.1f} GiB of GPU memory")
