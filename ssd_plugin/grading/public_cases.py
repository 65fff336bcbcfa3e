"""Which of a task's cases are public: those the model was shown, so that feedback may quote them.

Public are the first `public_cases` of a task (LiveCodeBench's public tests; a task file may say how many), and cases that stand
in the prompt, input and expected value: `>>> f(1)` with the value below, `assert f(1) == 2`, `f(1) == 2`, `f(1) -> 2` and the
like. Everything else is hidden, suites that run as code as a whole.
"""

import ast
import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ssd_plugin.core.values import decode, encode
from ssd_plugin.grading.literal_suite import literal_suite
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, StdioCheck, Task

_GIVES = r"(?:==|=>|->|➞|→|returns?|gives?|is|should return|should be)"
_LONGEST_LINE = 2000


def public_part(task: Task) -> Task:
    """The task with its public cases alone, perhaps none: the program is loaded all the same."""
    match task.check:
        case StdioCheck(inputs=texts, expected=outputs):
            count = task.public_cases
            return replace(task, check=StdioCheck(inputs=texts[:count], expected=outputs[:count]))
        case FunctionCheck(inputs=inputs, values=values) as check:
            chosen = _chosen(task, check.entry_point, inputs, values)
            inputs, expected = (tuple(part[at] for at in chosen) for part in (inputs, check.expected))
            return replace(task, check=replace(check, inputs=inputs, expected=expected))
        case AssertCheck(entry_point=entry_point, test=test):
            suite = literal_suite(test, entry_point)
            calls = _chosen(task, entry_point, suite.inputs, suite.expected) if suite else []
            check = FunctionCheck(
                entry_point=entry_point,
                inputs=tuple(tuple(suite.inputs[at]) for at in calls) if suite else (),
                expected=tuple(encode(suite.expected[at]) for at in calls) if suite else (),
                rule="python",
            )
            return replace(task, check=check)
    return task


def _chosen(task: Task, entry_point: str, inputs: Sequence[Any], values: Sequence[Any]) -> list[int]:
    """The numbers of the public cases, in order."""
    known = _examples(task.prompt, entry_point.rpartition(".")[2])
    return [
        at
        for at, (arguments, value) in enumerate(zip(inputs, values, strict=True))
        if at < task.public_cases or _stands_in(known, arguments, value)
    ]


def _stands_in(known: dict[str, tuple[Any, ...]], arguments: Any, value: Any) -> bool:
    if not known:
        return False
    plain = [ast.literal_eval(form["$literal"]) if _is_literal(form) else decode(form) for form in arguments]
    return any(type(value) is type(example) and value == example for example in known.get(_key(plain), ()))


def _is_literal(form: Any) -> bool:
    return isinstance(form, dict) and form.keys() == {"$literal"}


def _key(arguments: list[Any]) -> str:
    return json.dumps(encode(arguments))


@functools.lru_cache(maxsize=256)
def _examples(prompt: str, name: str) -> dict[str, tuple[Any, ...]]:
    """The values that the prompt gives for calls on literals, by the arguments."""
    found: dict[str, tuple[Any, ...]] = {}
    for call, value in _pairs(prompt, name):
        try:
            arguments = _arguments(call, name)
            if arguments is not None:
                key = _key(arguments)
                found[key] = (*found.get(key, ()), ast.literal_eval(value))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue  # prose, or values that are no literals
    return found


def _pairs(prompt: str, name: str) -> Iterator[tuple[str, str]]:
    """Texts that may be a call and its value."""
    if not name:
        return
    example = re.compile(rf"(\b{re.escape(name)}\(.*\))[\s`'\"]*{_GIVES}[\s`]*(\S.*)")
    lines = [line.strip() for line in prompt.splitlines()]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if len(line) > _LONGEST_LINE:
            continue
        if line.startswith(">>>"):
            yield line[3:].strip(), following
        if match := example.search(line):
            yield match[1], match[2].rstrip("`.,; ")


def _arguments(call: str, name: str) -> list[Any] | None:
    tree = ast.parse(call, mode="eval").body
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.func.id != name or tree.keywords:
        return None
    return [ast.literal_eval(argument) for argument in tree.args]
