"""Which cases a model was shown: by number, or because they stand in its prompt and are right."""

from typing import Any

import pytest

from ssd_plugin.core.values import encode
from ssd_plugin.errors import DataError
from ssd_plugin.grading import public_cases
from ssd_plugin.grading.judgement import Judgement
from ssd_plugin.grading.public_cases import public_part
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Status, StdioCheck, Task, task_from_json

CALLS = FunctionCheck(entry_point="f", inputs=((1,), (2,), ([1, 2],)), expected=(10, 20, "x"))


def shown(
    monkeypatch: pytest.MonkeyPatch, prompt: str, check: Check = CALLS, *, agrees: bool | None = None, **more: Any
) -> list[tuple[Any, Any]]:
    """The public cases; `agrees`: whether the task has a reference, and what it does with the prompt's examples."""
    status = Status.PASS if agrees else Status.FAIL
    monkeypatch.setattr(public_cases, "judge", lambda *_: Judgement(status=status))
    task = Task(task_id="t", prompt=prompt, check=check, reference="" if agrees is None else "x", **more)
    part = public_part(task, Limits(), None).check  # type: ignore[arg-type]
    assert isinstance(part, FunctionCheck | StdioCheck)
    return list(zip(part.inputs, part.expected, strict=True))


@pytest.mark.parametrize(
    "prompt",
    [
        ">>> f(2)\n20",
        '    """Says.\n    >>> f(2)\n    20\n    """',
        "It holds: assert f(2) == 20",
        "Examples:\n- f(2) -> 20\n",
        "`f(2)` returns `20`.",
        "f(2) => 20",
        "f(2) ➞ 20  # twenty",
        "f(2) should return 20.",
        "Both f(2) == 20,",
    ],
)
def test_a_test_that_stands_in_the_prompt_is_public(monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    assert shown(monkeypatch, prompt) == [((2,), 20)]
    literal = AssertCheck(entry_point="f", test="assert f(1) == 10\nassert f(2) == 20\n")
    assert shown(monkeypatch, prompt, literal) == [((2,), 20)]


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "f(2)",
        "f(2) == 21",
        "f(3) == 20",
        "g(2) == 20",
        "xf(2) == 20",
        "f(x=2) == 20",
        "f(2) == y",
        "f(__import__('os')) == 20",
        "f(1 + 1) == 20",
        "2 gives 20",
        "set(f(2)) == {20}",
        ">>> f(2)\n\n20",
        "f(" * 3000 + "2) == 20",
    ],
)
def test_what_only_the_tests_hold_is_hidden(monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    assert shown(monkeypatch, prompt) == []


def test_examples_that_are_no_tests_count_where_the_reference_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = ">>> f(7)\n70\n>>> f(1)\n10\n>>> f((1, 2))\n{3: 'a'}\n"
    own = [((1,), 10)]
    more = [*own, ((7,), 70), ((encode((1, 2)),), encode({3: "a"}))]
    assert shown(monkeypatch, prompt, agrees=None) == own
    assert shown(monkeypatch, prompt, agrees=False) == own
    assert shown(monkeypatch, prompt, agrees=True) == more
    code = AssertCheck(entry_point="f", test="def check(c):\n    for x in range(9):\n        assert c(x) == 10 * x\n")
    assert shown(monkeypatch, prompt, code, agrees=None) == []
    assert shown(monkeypatch, prompt, code, agrees=True) == [((7,), 70), *own, more[2]]


def test_the_first_tests_are_public_where_the_task_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, "", public_cases=2) == [((1,), 10), ((2,), 20)]
    lines = StdioCheck(inputs=("a", "b"), expected=("c", "d"))
    assert shown(monkeypatch, "", lines, public_cases=1) == [("a", "c")]
    assert shown(monkeypatch, "a c", lines) == []


def test_a_task_file_says_how_many_are_public() -> None:
    row = {"task_id": "t", "prompt": "p", "kind": "stdio", "inputs": ["a"], "expected": ["b"]}
    task = task_from_json(row | {"public_cases": 1})
    assert task.public_cases == 1
    assert task_from_json(task.to_json()) == task
    assert "public_cases" not in task_from_json(row).to_json()
    for wrong in (-1, True, 1.0, "1", None):
        with pytest.raises(DataError, match="field 'public_cases' must be a whole number from 0"):
            task_from_json(row | {"public_cases": wrong})
