"""When a chain of rounds ends, and what it says: by generations made up of pass rates."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.errors import DependencyError
from ssd_plugin.integrations.tracking import require
from ssd_plugin.integrations.tracking.run import run_and_track
from ssd_plugin.pipeline import rounds
from ssd_plugin.pipeline.rounds import Generation, chain_document, stop_reason
from ssd_plugin.recipes import load

TASKS = 50


def chain(*passing: int, outcomes: Sequence[str] = ()) -> list[Generation]:
    """One generation a number: that many of `TASKS` tasks pass, the first ones; each verdict INCONCLUSIVE unless said."""
    verdicts = ["", *(outcomes or ["INCONCLUSIVE"] * (len(passing) - 1))]
    rates = [[1.0] * count + [0.0] * (TASKS - count) for count in passing]
    return [
        Generation(number=number, folder=str(number), outcome=verdict, reason="why", decode=DecodeConfig(temperature=0.5),
                   development=rate, held_out=rate)
        for number, (verdict, rate) in enumerate(zip(verdicts, rates, strict=True))
    ]  # fmt: skip


@pytest.mark.parametrize("passing", [(10, 10), (10, 12), (10, 9), (10, 12, 11), (10, 9, 10), (10, 9, 12, 11)])
def test_it_goes_on_while_the_trend_has_not_turned(passing: tuple[int, ...]) -> None:
    assert stop_reason(chain(*passing)) == ""


@pytest.mark.parametrize("outcome", ["NO-GO", "ERROR"])
def test_a_candidate_that_may_not_be_a_base_ends_it(outcome: str) -> None:
    assert f"verdict on generation 1 is {outcome}" in stop_reason(chain(10, 30, outcomes=[outcome]))


@pytest.mark.parametrize("outcome", ["GO", "INCONCLUSIVE"])
def test_a_gain_with_another_verdict_does_not(outcome: str) -> None:
    assert stop_reason(chain(10, 30, outcomes=[outcome])) == ""


def test_a_fall_that_chance_does_not_explain_ends_it_at_once() -> None:
    reason = stop_reason(chain(30, 10))
    assert "40.0 points below generation 0" in reason
    assert "more than chance explains" in reason


def test_a_second_small_fall_in_a_row_ends_it_and_a_recovery_between_does_not() -> None:
    assert "second generation in a row" in stop_reason(chain(12, 11, 11))
    assert "generation 1's, the second" in stop_reason(chain(10, 13, 12, 12))
    assert stop_reason(chain(12, 11, 12, 11)) == ""


def test_the_fall_is_from_the_best_before_and_not_from_the_last() -> None:
    """Each step of two tasks is within chance; their sum is not."""
    passing = (40, 38, 36)
    assert stop_reason(chain(*passing[:2])) == ""
    assert stop_reason(chain(*passing)) != ""
    assert "8.0 points below generation 0" in stop_reason(chain(*passing))


def test_the_document_compares_with_the_last_and_with_the_first() -> None:
    document = chain_document(chain(10, 20, 15), asked=5, stopped="why")
    first, second, third = document["generations"]
    assert (document["asked"], document["stopped"]) == (5, "why")
    assert "since_last" not in first
    assert second["since_last"] == second["since_origin"]
    assert third["since_last"]["estimate"] == pytest.approx(-5 / TASKS)
    assert third["since_origin"]["estimate"] == pytest.approx(5 / TASKS)
    assert third["held_out"]["estimate"] == pytest.approx(15 / TASKS)


def test_a_finished_run_goes_to_the_trackers_and_keeps_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to send in this directory: the tracker fails, in its own process, and the verdict's status stays."""
    ran: list[Path] = []

    def run_pipeline(_: RunConfig, folder: Path) -> int:
        ran.append(folder)
        return 1

    monkeypatch.setattr(rounds, "run_pipeline", run_pipeline)
    config = apply_overrides(load("ssd_smollm2_135m")(), ["report.trackers=tensorboard"])
    monkeypatch.setattr(require.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(DependencyError, match="tensorboard"):
        run_and_track(config, tmp_path)
    assert ran == []
    monkeypatch.undo()
    monkeypatch.setattr(rounds, "run_pipeline", run_pipeline)
    assert run_and_track(config, tmp_path) == (1, [tmp_path])
    assert ran == [tmp_path]
    assert "ssd: tracker tensorboard: DataError" in capfd.readouterr().err
