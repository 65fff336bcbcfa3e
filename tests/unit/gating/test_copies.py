"""Copies of samples tell nothing new: given twice, five or ten times, they change no figure of any gate."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ssd_plugin.gating.discovery import load_gates
from ssd_plugin.gating.draws import draws
from ssd_plugin.gating.verdict import Measurement
from ssd_plugin.tasks.schema import Result

PLANTED = "import reqeusts\npassword = 'correct-horse-7'\nprint(undefined_thing)\nresult = eval('1')\n"
SOLUTION = "def solve(values):\n    return sum(2 * value for value in values)\n"
OF_FILES = {"artifact", "benchmarks", "contamination", "tests"}


def copies(rows: Sequence[Result], times: int) -> list[Result]:
    return [replace(row, sample_id=f"{row.sample_id}-{n}") for row in rows for n in range(times)]


def values(figures: Sequence[Measurement]) -> dict[str, list[Any]]:
    found = {one.name: (one.baseline, one.candidate, one.delta, one.low, one.high) for one in figures}
    return {name: [None if v is None else pytest.approx(v, abs=1e-9) for v in row] for name, row in found.items()}


@pytest.fixture
def sides(world: Any, tools: Any) -> Any:
    def made(samples: int) -> list[list[Result]]:
        plant = tools.with_program(PLANTED)
        return [
            tools.edit(tools.make_rows(world.tasks[:40], samples=samples, seed=seed), plant, 0.1, passing=False)
            for seed in (1, 2)
        ]

    return made


@pytest.mark.parametrize("referenced", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 4, 10])
@pytest.mark.parametrize("gate", sorted(load_gates().keys() - OF_FILES))
def test_copies_of_the_same_samples_change_no_figure(
    world: Any, sides: Any, gate: str, samples: int, referenced: bool
) -> None:
    found = load_gates()[gate].gate
    reference = SOLUTION if referenced and gate != "integrity" else ""
    tasks = tuple(replace(task, reference=reference) for task in world.tasks[:40])
    before, after = sides(samples)

    def figures(left: int, right: int) -> Sequence[Measurement]:
        context = world.context(copies(before, left), copies(after, right), tasks=tasks)
        return found.check(context, found.settings()).measurements

    once = figures(1, 1)
    assert once, "the gate gives figures here"
    for left, right in ((2, 2), (5, 5), (10, 10), *([(1, 2), (5, 1)] if samples > 1 else [])):
        assert values(figures(left, right)) == values(once), (left, right)


def test_ten_copies_of_one_answer_are_no_ten_tries(world: Any, tools: Any, check: Any) -> None:
    rows = copies(tools.make_rows(world.tasks, samples=1), 10)
    result = check("collapse", rows, rows)
    assert "pass@5 not measured" in result.reason


def test_a_candidate_that_repeats_one_answer_beside_a_baseline_that_varies_has_collapsed(
    world: Any, tools: Any, check: Any
) -> None:
    rows = tools.make_rows(world.tasks, seed=1)
    result = check("collapse", rows, copies(tools.make_rows(world.tasks, samples=1, seed=2), 10))
    assert result.status == "breach"
    assert "pairs of passing programs that differ" in result.reason


def test_answers_that_a_model_repeats_by_chance_all_count(world: Any, tools: Any) -> None:
    rows = tools.make_rows(world.tasks[:3], samples=3)
    rows = [*rows, *(replace(row, sample_id=f"{row.sample_id}-2") for row in rows if row.task_id == "t000")]
    found = draws(world.context(rows, rows))[0]
    assert [len(one) for one in found.values()] == [6, 3, 3]
