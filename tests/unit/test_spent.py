"""The account of a stage's time: kinds nest, the innermost is charged, what is outside is overhead."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ssd_plugin.core import stage_timing as module
from ssd_plugin.core.stage_timing import account, overhead, spent, spent_on_each


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account and a clock of this test's own."""
    monkeypatch.setattr(module, "_ACCOUNT", module._Account())
    monkeypatch.setattr(time, "monotonic", lambda: CLOCK[0])


CLOCK = [0.0]


def pass_seconds(seconds: float) -> None:
    CLOCK[0] += seconds


def test_the_innermost_kind_is_charged() -> None:
    pass_seconds(100)
    with spent("model"):
        pass_seconds(1)
        with spent("checkpoints"):
            pass_seconds(2)
        pass_seconds(4)
    pass_seconds(200)
    assert account() == {"model": 5, "checkpoints": 2}


def test_an_error_ends_its_block() -> None:
    with suppress(ValueError), spent("programs"):
        pass_seconds(3)
        int("bad")
    pass_seconds(50)
    assert account() == {"programs": 3}


def test_only_the_waiting_for_an_item_is_charged() -> None:
    def slow() -> Iterator[int]:
        for number in range(3):
            pass_seconds(2)
            yield number
        pass_seconds(1)

    for _ in spent_on_each("model", slow()):
        pass_seconds(10)
    assert account() == {"model": 7}


def test_overhead_is_all_but_model_and_programs() -> None:
    stages = {
        "sample": (10.0, {"model": 8.0, "loading": 1.0}),
        "filter": (1.0, {}),
        "evaluate": (9.0, {"programs": 7.0}),
    }
    assert overhead(stages) == pytest.approx(1 - 15 / 20)
    assert overhead({"sample": (10.0, {})}) is None
