"""Shared wording between evaluation tasks and training data."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.gates import contamination
from ssd_plugin.gates.contamination import Settings
from ssd_plugin.gating.verdict import GateStatus
from ssd_plugin.tasks.overlap import own_wording
from ssd_plugin.tasks.schema import Task

TEMPLATE = "You are given a task. Answer with a single Python function and nothing else than the code."


def prompt(number: int) -> str:
    """A template that all tasks share, and fourteen words of the task's own."""
    return f"{TEMPLATE} " + " ".join(f"word{number}x{i}" for i in range(14))


@pytest.fixture
def tasks() -> list[Task]:
    return [Task(task_id=f"t{n}", prompt=prompt(n)) for n in range(100)]


def run(world: Any, tasks: list[Task], texts: list[dict[str, Any]], tmp_path: Path) -> Any:
    training = tmp_path / "training.jsonl"
    write_jsonl(training, texts)
    context = replace(world.context([], []), tasks=tuple(tasks), training=(training,))
    return contamination.check(context, Settings())


@pytest.mark.parametrize(("shared", "status"), [(0, GateStatus.PASS), (2, GateStatus.PASS), (3, GateStatus.BREACH)])
def test_tasks_found_in_prompts(world: Any, tasks: list[Task], tmp_path: Path, shared: int, status: GateStatus) -> None:
    texts = [{"prompt": prompt(1000 + n)} for n in range(20)] + [
        {"prompt": f"Please: {prompt(n)[90:]}"} for n in range(shared)
    ]
    result = run(world, tasks, texts, tmp_path)
    assert result.status is status
    assert {finding.task_id for finding in result.findings} == {f"t{n}" for n in range(shared)}


def test_tasks_found_in_completions(world: Any, tasks: list[Task], tmp_path: Path) -> None:
    result = run(world, tasks, [{"completion": "".join(task.prompt for task in tasks[:9])}], tmp_path)
    assert result.status is GateStatus.BREACH
    assert len(result.findings) == 9


def test_a_short_prompt_is_found_whole_inside_a_longer_text(world: Any, tmp_path: Path) -> None:
    prompts = ["Return the sum of two numbers.", "Return the sum of two numbers or of three.", "Sort a list."]
    tasks = [Task(task_id=f"t{n}", prompt=text) for n, text in enumerate(prompts)]
    longer = "Write Python. Return the sum of two numbers, and be brief about it. Sort a list. Say no more."
    result = run(world, tasks, [{"prompt": longer}], tmp_path)
    assert result.status is GateStatus.BREACH
    assert {finding.task_id for finding in result.findings} == {"t0"}
    assert "'return the sum of two numbers'" in result.findings[0].message


def test_a_short_prompt_that_many_tasks_have_is_no_tasks_own(world: Any, tmp_path: Path) -> None:
    tasks = [Task(task_id=f"t{n}", prompt="Complete the function that is given below.") for n in range(3)]
    result = run(world, tasks, [{"prompt": f"{tasks[0].prompt} def add(x, y): returns the sum of both"}], tmp_path)
    assert (result.status, result.findings) == (GateStatus.PASS, ())


def test_no_text_or_no_file_is_never_a_pass(world: Any, tasks: list[Task], tmp_path: Path) -> None:
    assert run(world, tasks, [{"prompt": 7}], tmp_path).status is GateStatus.ERROR
    bare = replace(world.context([], []), tasks=tuple(tasks))
    assert contamination.check(bare, Settings()).status is GateStatus.INSUFFICIENT


@pytest.mark.parametrize(
    "row",
    [
        {"text": "words"},
        {"messages": [{"role": "user", "content": "words"}]},
        {"instruction": "words", "prompt": None},
        {"prompt": [{"role": "user", "content": "words"}], "completion": "words"},
    ],
)
def test_a_row_that_cannot_be_read_is_an_error(
    world: Any, tasks: list[Task], tmp_path: Path, row: dict[str, Any]
) -> None:
    assert run(world, tasks, [{"prompt": "words"}], tmp_path).status is GateStatus.PASS
    result = run(world, tasks, [{"prompt": "words"}, row], tmp_path)
    assert result.status is GateStatus.ERROR
    assert "training.jsonl:2: training data needs text in the field 'prompt' or 'completion'" in result.reason


def test_the_template_is_cut_out(tasks: list[Task]) -> None:
    for stretches in own_wording({task.task_id: task.prompt for task in tasks}, 10, 0.05).values():
        (text,) = stretches
        assert len(text.split()) >= 14
        assert "you are given" not in text
    short = own_wording({"s": "Sort it."}, 10, 0.05)
    assert short == {"s": ["sort it"]}
