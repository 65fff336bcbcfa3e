"""Nothing of a hidden test comes out in what a model is told: values are planted there, and programs try to pass them on."""

import json
import secrets
from typing import Any

import pytest

from ssd_plugin.grading.in_memory import GradeOptions, Grader
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Sample, StdioCheck, Task

# Ways by which a program that has a hidden value `x` could get it into what is reported of it.
WAYS = {
    "message": "raise ValueError(x)",
    "key": "raise KeyError(x)",
    "name of a class": "raise type(str(x), (Exception,), {})('boo')",
    "line number": "exec(compile('\\n' * 999 + 'raise ValueError', '<program>', 'exec'))",
    "result": "return x",
    "result of a kind": "return type(str(x), (), {})()",
    "next result": "kept.append(str(x))",
    "exit status": "import os; os._exit(x % 250 if isinstance(x, int) else 7)",
    "text of exit": "raise SystemExit(str(x))",
    "syntax error": "raise SyntaxError(str(x), ('<program>', 3, 1, str(x)))",
    "forged raise": "report({'raised': f'ValueError: {x}', 'line': 2})",
    "forged type": "report({'raised': f'{x}: boo', 'line': 2})",
    "forged line": "report({'raised': 'ValueError: boo', 'line': x})",
    "forged syntax": "report({'syntax': str(x), 'line': 1})",
    "forged load": "report({'load': f'{x}: {x}', 'line': 1})",
    "forged entry": "report({'entry': str(x)})",
    "forged value": "report({'value': str(x)})",
    "printed": "print(x)",
    "standard error": "import sys; sys.stderr.write(str(x)); raise ValueError",
}  # fmt: skip

CALLED = """
import json, os, sys
kept = []
def report(line):
    os.write(3, json.dumps(line).encode() + b'\\n')
    os._exit(0)
def f(x):
    if x in (1, 2):
        return ' '.join(kept) if kept else {shown}
    WAY
def everything():
    frame, found = sys._getframe(), []
    while frame:
        found.append(repr(frame.f_locals.get('job')))
        frame = frame.f_back
    return found
"""
SCRIPT = """
import json, os, sys
kept = []
def report(line):
    os.write(3, json.dumps(line).encode() + b'\\n')
    os._exit(0)
x = sys.stdin.read().strip()
def run():
    WAY
if x != 'public':
    run()
print(kept)
"""


@pytest.fixture(scope="module")
def planted() -> tuple[list[Task], list[str]]:
    """Tasks whose hidden tests hold values that nobody can know, and those values."""
    texts = [f"needle{secrets.token_hex(8)}" for _ in range(4)]
    numbers = [10**15 + secrets.randbelow(10**15) for _ in range(4)]
    given, expected = [*texts[:2], *numbers[:2]], [*texts[2:], *numbers[2:]]
    calls = FunctionCheck(
        entry_point="f", inputs=((1,), *((x,) for x in given), (2,)), expected=("one", *expected, "two")
    )
    literal = "\n".join(f"assert f({x!r}) == {y!r}" for (x,), y in zip(calls.inputs, calls.expected, strict=True))
    code = f"def check(c):\n    for x, y in {list(zip(given, expected, strict=True))!r}:\n        assert c(x) == y, y\n"
    lines = ("public\n", *(f"{value}\n" for value in given))
    checks: dict[str, Check] = {
        "function": calls,
        "literal": AssertCheck(entry_point="f", test=literal),
        "suite": AssertCheck(entry_point="f", test=code),
        "stdio": StdioCheck(inputs=lines, expected=("[]\n", *(f"{value}\n" for value in expected))),
    }
    shown = "Write f. f(1) == 'one', and >>> f(2)\n\n>>> f(2)\n'two'\n"
    tasks = [Task(task_id=name, prompt=shown, check=check, public_cases=1) for name, check in checks.items()]
    return tasks, [str(value) for value in (*given, *expected)]


def programs(task: Task) -> dict[str, str]:
    """Each way, once with all calls on public cases right and once with a wrong answer to them."""
    if task.task_id == "stdio":
        return {name: SCRIPT.replace("WAY", way.replace("return x", "print(x)")) for name, way in WAYS.items()}
    right, wrong = "{1: 'one', 2: 'two'}[x]", "everything()"
    return {
        f"{name} ({shown})": CALLED.replace("WAY", way).replace("{shown}", shown)
        for name, way in WAYS.items()
        for shown in (right, wrong)
    }


def test_no_way_leads_out(planted: tuple[list[Task], list[str]], caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    tasks, needles = planted
    samples = [
        Sample(task_id=task.task_id, sample_id=name, completion=program)
        for task in tasks
        for name, program in programs(task).items()
    ]
    options = GradeOptions(limits=Limits(cpu_seconds=1.0, wall_seconds=4.0))
    with Grader(tasks, options, feedback=True, every_case=True) as grader:
        found = list(grader.grade(samples))
    assert len(found) == len(samples) > 100
    told = 0
    details = ""
    for judged in found:
        feedback = judged.judgement.feedback
        assert feedback is not None, "a program that passes on what it gets passed the tests"
        said = json.dumps([repr(feedback), feedback.text(), judged.judgement.share])
        assert not [needle for needle in needles if needle in said], (
            judged.sample.task_id,
            judged.sample.sample_id,
            said,
        )
        told += feedback.case is not None
        details += judged.judgement.detail
    assert told > 30  # public cases were quoted, so there was something to leak into
    assert any(needle in details for needle in needles)  # the ways work: the detail, which no model sees, has them
    out, err = capfd.readouterr()
    assert not [needle for needle in needles if needle in out + err + caplog.text]
