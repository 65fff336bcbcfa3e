"""The bank's graded tasks measure something: references pass in the sandbox, wrong programs fail, no task comes twice."""

import copy
import csv
import itertools
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import mutants
import pytest

import ssd_plugin.tasks
from ssd_plugin.core.jsonl import dumps, write_jsonl
from ssd_plugin.grading.grader import score_file
from ssd_plugin.tasks.schema import FunctionCheck, Sample, Task, read_results, read_tasks

BANK = Path(ssd_plugin.tasks.__file__).parent / "bank"
GRADED = ("dev", "heldout", "ruler-dev", "ruler-heldout")
CPU_SECONDS = 0.1


class TooSlowError(RuntimeError):
    """The program used up its CPU time."""


# What a wrong program of the bank's kind raises; anything else is worth seeing in the test's output.
FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, NameError, RuntimeError, StopIteration,
            SyntaxError, TypeError, ValueError, csv.Error, re.error)  # fmt: skip


@contextmanager
def cpu_limit() -> Iterator[None]:
    """End the block with TooSlowError after CPU_SECONDS of this process's CPU time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def check_of(task: Task) -> FunctionCheck:
    assert isinstance(task.check, FunctionCheck), task.task_id
    return task.check


def load(program: str, entry_point: str) -> Callable[..., Any]:
    """The function of one of this project's own programs (never a model's)."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(program, entry_point, "exec"), space)
    function: Callable[..., Any] = space[entry_point]
    return function


def solves(function: Callable[..., Any], check: FunctionCheck) -> bool:
    """Whether a function gives the expected results, types included; the first wrong one ends it."""
    try:
        with cpu_limit():
            return all(
                dumps(function(*copy.deepcopy(arguments))) == dumps(expected)
                for arguments, expected in zip(check.inputs, check.expected, strict=True)
            )
    except FAILURES:
        return False


def passes(program: str, check: FunctionCheck) -> bool:
    """Whether a program gives the expected results."""
    try:
        with cpu_limit():
            function = load(program, check.entry_point)
    except FAILURES:
        return False
    return solves(function, check)


@pytest.fixture(params=GRADED)
def split(request: pytest.FixtureRequest) -> Path:
    return BANK / f"{request.param}.jsonl"


def test_every_reference_passes_in_the_sandbox(split: Path, tmp_path: Path) -> None:
    tasks = read_tasks(split)
    samples = [Sample(task_id=t.task_id, sample_id="0", completion=f"```python\n{t.reference}```\n") for t in tasks]
    write_jsonl(tmp_path / "samples.jsonl", [sample.to_json() for sample in samples])
    summary = score_file(split, tmp_path / "samples.jsonl", tmp_path / "results.jsonl")
    failed = {row.task_id: row.detail for row in read_results(tmp_path / "results.jsonl") if row.status != "pass"}
    assert failed == {}
    assert summary.samples == len(tasks) == summary.counts["pass"]


def test_programs_that_ignore_the_task_fail(split: Path) -> None:
    tasks = read_tasks(split)
    passed = [
        (task.task_id, name)
        for task in tasks
        for name, program in mutants.constant_programs(check_of(task).entry_point, check_of(task).expected[0]).items()
        if passes(program, check_of(task))
    ]
    assert len(tasks) > 100
    assert passed == []


def test_inputs_catch_small_mistakes(split: Path) -> None:
    made = survived = 0
    toothless = []
    for task in read_tasks(split):
        programs = mutants.mutated_programs(task.reference)
        alive = [name for name, program in programs.items() if passes(task.prelude + program, check_of(task))]
        made, survived = made + len(programs), survived + len(alive)
        if programs and len(alive) == len(programs):
            toothless.append((task.task_id, alive))
    assert made > 150
    assert toothless == []
    assert 1 - survived / made > 0.9


def test_no_two_tasks_ask_for_the_same_function() -> None:
    tasks = [task for name in ("train", *GRADED) for task in read_tasks(BANK / f"{name}.jsonl") if task.check]
    functions = {
        task.task_id: load(task.prelude + task.reference, check_of(task).entry_point)
        for task in tasks
        if task.reference
    }
    by_shape: dict[tuple[type, ...], list[Task]] = {}
    for task in tasks:
        if task.task_id in functions:
            by_shape.setdefault(tuple(map(type, check_of(task).inputs[0])), []).append(task)

    def covers(one: Task, other: Task) -> bool:
        return solves(functions[one.task_id], check_of(other))

    pairs = [pair for alike in by_shape.values() for pair in itertools.combinations(alike, 2)]
    pairs = [pair for pair in pairs if not all(task.task_id.startswith("train/") for task in pair)]
    assert len(pairs) > 1000
    assert [(a.task_id, b.task_id) for a, b in pairs if covers(a, b) and covers(b, a)] == []
