"""Which cases are public: those the model was shown, so that feedback may quote them.

Public are the first `public_cases` of a task's tests (LiveCodeBench's public tests; a task file may say how many), and what
stands in the prompt as a call on literals with its value: `>>> f(1)` with the value below, `assert f(1) == 2`, `f(1) == 2`,
`f(1) -> 2` and the like. Such an example counts if it is one of the tests, or if the task's reference agrees with it: some
prompts are wrong.
Everything else is hidden, suites that run as code as a whole.
"""

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ssd_plugin.core.values import decode, encode
from ssd_plugin.grading.compare import ABSOLUTE
from ssd_plugin.grading.judge import judge
from ssd_plugin.grading.literal_suite import literal_suite
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Status, StdioCheck, Task

_GIVES = r"(?:==|=>|->|➞|→|returns?|gives?|is|should return|should be)"
_LONGEST_LINE = 2000


def public_part(task: Task, limits: Limits, worker: Worker) -> Task:
    """The task with its public cases alone, perhaps none: then a program is loaded all the same.

    Raises:
        SandboxError: the sandbox failed.
    """
    check = task.check
    if isinstance(check, StdioCheck):
        count = task.public_cases
        return replace(task, check=StdioCheck(inputs=check.inputs[:count], expected=check.expected[:count]))
    cases = _cases(check)
    known = _examples(task.prompt, cases.entry_point.rpartition(".")[2])
    shown = [case for at, case in enumerate(cases.pairs) if at < task.public_cases or _stands_in(known, *case)]
    if task.reference and known:
        more = [example for example in known if not any(example == _plain(*case) for case in shown)]
        with_examples = _with(task, cases, [*shown, *((encode(given), value) for given, value in more)])
        if judge(worker, with_examples, task.reference, limits).status is Status.PASS:
            return with_examples
    return _with(task, cases, shown)


@dataclass(frozen=True, kw_only=True)
class _Cases:
    """A task's tests as calls: arguments in their JSON form and the value, where they can be told."""

    entry_point: str
    pairs: list[tuple[Any, Any]]
    rule: str
    atol: float


def _cases(check: Check | None) -> _Cases:
    match check:
        case FunctionCheck(entry_point=entry_point, inputs=inputs, values=values, rule=rule, atol=atol):
            return _Cases(entry_point=entry_point, pairs=[*zip(inputs, values, strict=True)], rule=rule, atol=atol)
        case AssertCheck(entry_point=entry_point, test=test):
            suite = literal_suite(test, entry_point)
            pairs = [*zip(suite.inputs, suite.expected, strict=True)] if suite else []
            return _Cases(entry_point=entry_point, pairs=pairs, rule="evalplus", atol=ABSOLUTE)
    return _Cases(entry_point="", pairs=[], rule="json", atol=0)


def _with(task: Task, cases: _Cases, pairs: list[tuple[Any, Any]]) -> Task:
    check = FunctionCheck(
        entry_point=cases.entry_point,
        inputs=tuple(tuple(arguments) for arguments, _ in pairs),
        expected=tuple(encode(value) for _, value in pairs),
        rule=cases.rule,
        atol=cases.atol,
    )
    return replace(task, check=check)


def _stands_in(known: list[tuple[list[Any], Any]], arguments: Any, value: Any) -> bool:
    return bool(known) and _plain(arguments, value) in known


def _plain(arguments: Any, value: Any) -> tuple[list[Any], Any]:
    return [ast.literal_eval(form["$literal"]) if _is_literal(form) else decode(form) for form in arguments], value


def _is_literal(form: Any) -> bool:
    return isinstance(form, dict) and form.keys() == {"$literal"}


@functools.lru_cache(maxsize=64)
def _examples(prompt: str, name: str) -> list[tuple[list[Any], Any]]:
    """The calls on literals in the prompt, each once, with the value that it gives them."""
    found: list[tuple[list[Any], Any]] = []
    for call, value in _pairs(prompt, name):
        try:
            arguments, literal = _arguments(call, name), ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue  # prose, or values that are no literals
        if arguments is not None and (arguments, literal) not in found:
            found.append((arguments, literal))
    return found


def _pairs(prompt: str, name: str) -> Iterator[tuple[str, str]]:
    """Texts that may be a call and its value."""
    if not name:
        return
    example = re.compile(rf"(\b{re.escape(name)}\(.*\))[\s`'\"]*{_GIVES}[\s`]*(\S.*)")
    lines = [line.strip() for line in prompt.splitlines()]
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
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
