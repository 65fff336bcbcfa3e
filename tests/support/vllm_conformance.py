"""The suite that every `Sampler` passes, on vLLM: what its tests ask for, on whatever device the installed vLLM runs.

A test file takes it with `globals().update(SUITE | FIXTURES)`.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_models import save_model

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.protocol import Completion, Request, Sampler, SamplingParams

SAMPLED = SamplingParams(temperature=1.3, top_k=12, top_p=0.9, max_new_tokens=20)


def _load_suite() -> ModuleType:
    path = Path(__file__).parents[1] / "integration/test_sampler_conformance.py"
    spec = importlib.util.spec_from_file_location("sampler_conformance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SUITE = {name: test for name, test in vars(_load_suite()).items() if name.startswith("test_")}
assert len(SUITE) >= 8


@functools.cache
def started(model: Path) -> Sampler:
    """One engine a model: starting takes longer than all that is asked of it. It is told of a small batch, so that it takes no
    more than 64 requests at once."""
    sampler = open_sampler(model, EngineConfig(name="vllm", dtype="float32"))
    sampler._inner._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs = 32  # type: ignore[attr-defined]
    return sampler


@pytest.fixture
def engine() -> Callable[[Path, int], Sampler]:
    """What the suite asks for."""
    return lambda model, _rows: started(model)


@functools.cache
def _saved(folder: Path, kind: str) -> Path:
    """vLLM's attention on CPUs needs heads of 32 or more."""
    return save_model(folder / kind, kind, head_dim=32, hidden_size=64)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def tiny_llama(folder: Path) -> Path:
    """As in the other engines' tests, with longer heads."""
    return _saved(folder, "llama")


@pytest.fixture(params=["llama", "qwen3"])
def tiny_model(folder: Path, request: pytest.FixtureRequest) -> Path:
    """Each kind in turn."""
    return _saved(folder, request.param)


FIXTURES = {"engine": engine, "folder": folder, "tiny_llama": tiny_llama, "tiny_model": tiny_model}


def requests(count: int) -> list[Request]:
    """Different prompts and seeds."""
    return [Request(request_id=f"r{i}", prompt_token_ids=(5, 9, 20 + i), seed=i) for i in range(count)]


def by_id(found: Iterator[Completion]) -> dict[str, Any]:
    """All that must be the same wherever a request was completed."""
    return {c.request_id: (c.token_ids, c.text, c.finish_reason) for c in found}
