"""The embedded backend's loss curve is TRL's: same data, same effective batch, loss on the completions alone on both sides."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _training_peers import embedded, sft, sft_packed

STEPS = 8


@pytest.fixture(scope="module")
def examples() -> list[dict[str, list[int]]]:
    """Twelve, of 4 to 44 tokens; each step takes all of them, so that the order of an epoch does not matter."""
    rng = random.Random(11)

    def tokens(least: int, most: int) -> list[int]:
        return [rng.randrange(3, 250) for _ in range(rng.randrange(least, most))]

    return [{"prompt_token_ids": tokens(2, 20), "completion_token_ids": [*tokens(1, 24), 2]} for _ in range(12)]


@pytest.mark.parametrize("reference", [sft, sft_packed])
def test_every_loss_of_the_curve_is_the_same(
    reference: Callable[..., dict[str, Any]],
    tiny_model: Path,
    examples: list[dict[str, list[int]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ssd_plugin.training.embedded.has_fast_bfloat16", lambda *_: False)  # whose rounding hides 1e-4
    work = {"model": str(tiny_model), "examples": examples, "steps": STEPS, "max_lr": 1e-2, "bf16": False}
    ours, theirs = embedded(work), reference(work)
    assert ours["tokens"] == theirs["tokens"] == STEPS * sum(len(e["completion_token_ids"]) for e in examples)
    assert len(ours["losses"]) == STEPS
    assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-4)
    assert ours["losses"][-1] < 0.9 * ours["losses"][0]  # the updates are large enough to tell
