"""Engines that die: each is started again once, with the requests that it owed; no completion is lost or comes twice."""

from collections.abc import Iterator
from pathlib import Path

import dying_engine
import pytest

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import SamplingError
from ssd_plugin.sampling import replicas
from ssd_plugin.sampling.protocol import Request, SamplingParams

PARAMS = SamplingParams(temperature=1, top_k=0, top_p=1, max_new_tokens=4)
ENGINE = EngineConfig(name="vllm", data_parallel=2)


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[replicas.Replicas]:
    monkeypatch.setattr(replicas, "_serve", dying_engine.serve)
    monkeypatch.setattr(replicas, "PATIENCE", 1.0)
    monkeypatch.delenv(replicas.DEVICES, raising=False)
    found = replicas.Replicas(tmp_path, ENGINE)
    yield found
    found.close()


def sample(several: replicas.Replicas, count: int = 20) -> list[tuple[str, str]]:
    requests = [Request(request_id=f"r{i}", prompt_token_ids=(i,), seed=i) for i in range(count)]
    return sorted((done.request_id, done.text) for done in several.sample(iter(requests), PARAMS))


EXPECTED = sorted((f"r{i}", str(i)) for i in range(20))


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_every_request_is_answered_once(
    several: replicas.Replicas, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setattr(replicas, "AHEAD", ahead)
    assert sample(several) == EXPECTED
    assert sample(several) == EXPECTED


@pytest.mark.parametrize("how", ["raised", "killed"])
@pytest.mark.parametrize("which", [["0"], ["1"], ["0", "1"]], ids="".join)
def test_a_replica_that_dies_starts_again_with_what_it_owed(
    several: replicas.Replicas, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, which: list[str]
) -> None:
    for number in which:
        (tmp_path / f"dies.{number}").write_text(f"{how} 1")
    assert sample(several) == EXPECTED
    assert capsys.readouterr().out.count("it starts again with the") == len(which)
    assert sample(several) == EXPECTED


@pytest.mark.parametrize("how", ["raised", "killed"])
def test_a_replica_that_dies_twice_ends_the_stage_in_one_line(
    several: replicas.Replicas, tmp_path: Path, how: str
) -> None:
    (tmp_path / "dies.1").write_text(f"{how} 2")
    with pytest.raises(SamplingError, match="replica 1 died twice"):
        sample(several)
