"""Samples of one prompt are read by the model once for as long as they agree, and come out as if each were alone."""

from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.sampling.embedded import EmbeddedSampler
from ssd_plugin.sampling.protocol import Request, SamplingParams

PROMPTS = (tuple(range(5, 30)), tuple(range(40, 52)), (7,))
SAMPLES = 6


def requests() -> list[Request]:
    return [
        Request(request_id=f"{number}#{index}", prompt_token_ids=prompt, seed=10 * number + index)
        for number, prompt in enumerate(PROMPTS)
        for index in range(SAMPLES)
    ]


class Counted:
    """A sampler that notes how many rows the model reads in each step."""

    def __init__(self, model: Path, max_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sampler = EmbeddedSampler(model, EngineConfig(name="embedded", dtype="float32", max_rows=max_rows))
        self.read: list[int] = []
        forward = self.sampler._model.forward

        def counted(*arguments: Any, **named: Any) -> Any:
            if named["input_ids"].shape[1] == 1 and "attention_mask" in named:
                self.read.append(len(named["input_ids"]))
            return forward(*arguments, **named)

        monkeypatch.setattr(self.sampler._model, "forward", counted)

    def run(self, asked: list[Request], params: SamplingParams) -> dict[str, tuple[int, ...]]:
        return {done.request_id: done.token_ids for done in self.sampler.sample(asked, params)}


def prefixes(found: dict[str, tuple[int, ...]]) -> int:
    """How many different (prompt, tokens before it) a token was drawn after."""
    return len({(name.partition("#")[0], drawn[:at]) for name, drawn in found.items() for at in range(len(drawn))})


def test_samples_that_agree_to_the_end_cost_one(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(tiny_model, 32, monkeypatch)
    found = counted.run(requests(), SamplingParams(temperature=0.0, top_k=0, top_p=1.0, max_new_tokens=9))
    assert len({(name[0], drawn) for name, drawn in found.items()}) == len(PROMPTS)
    assert sum(counted.read) == prefixes(found) < sum(map(len, found.values())) / (SAMPLES - 1)


@pytest.mark.parametrize("max_rows", [32, 7])
def test_a_lane_splits_where_samples_differ(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, max_rows: int) -> None:
    params = SamplingParams(temperature=0.1, top_k=0, top_p=0.9, max_new_tokens=24)
    counted = Counted(tiny_model, max_rows, monkeypatch)
    alone: dict[str, tuple[int, ...]] = {}
    for request in requests():
        alone |= counted.run([request], params)
    counted.read.clear()
    found = counted.run(requests(), params)
    assert found == alone
    drawn = sum(map(len, found.values()))
    assert prefixes(found) < 0.9 * drawn  # otherwise there is nothing to share
    assert len(set(found.values())) > len(PROMPTS)  # nor anything to split
    if max_rows == 32:  # all samples of a prompt are admitted together
        assert sum(counted.read) == prefixes(found)
    else:
        assert sum(counted.read) < drawn
