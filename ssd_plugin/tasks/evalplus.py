"""EvalPlus' own release of HumanEval+ and MBPP+: inputs in JSON, expected values left to the reference solution.

JSON cannot say tuples, sets and complex numbers, so for some of MBPP's tasks EvalPlus turns the inputs into them by the
task's number, and for a few tasks it compares results in a way of their own. Both are repeated here from EvalPlus 0.3.1
(`evalplus/data/mbpp.py`, `evalplus/eval/_special_oracle.py`).
"""

import math
from collections.abc import Callable
from typing import Any

from ssd_plugin.core.values import encode
from ssd_plugin.errors import DataError
from ssd_plugin.tasks.fields import Row, identifier, text
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Task


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _tuples(value: list[Any]) -> list[Any]:
    return [tuple(item) for item in value]


def _lists_in_tuples(args: list[Any]) -> list[Any]:
    return [tuple(tuple(item) for item in argument) for argument in args]


def _sets_or_empty(args: list[Any]) -> list[Any]:
    return [[set(item) if isinstance(item, list) and item else {} for item in args[0]]]


# How a task's argument list becomes what its reference takes, by the task's number.
_FORMS: tuple[tuple[tuple[int, ...], Callable[[list[Any]], list[Any]]], ...] = (
    (
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
        _tuples,
    ),
    ((63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780), lambda args: [*map(_tuples, args)]),
    ((75, 413, 444, 753), lambda args: [_tuples(args[0]), args[1]]),
    ((106, 750), lambda args: [args[0], tuple(args[1])]),
    ((115,), _sets_or_empty),
    ((124,), lambda args: [float(args[0]), complex(args[1])]),
    ((250, 405, 446, 617, 720, 763, 808), lambda args: [tuple(args[0]), args[1]]),
    ((259, 401, 445), _lists_in_tuples),
    ((278,), lambda args: [tuple(_deep_once(item) for item in args[0])]),
    ((307,), lambda args: [tuple(args[0]), args[1], args[2]]),
    ((722,), lambda args: [{key: tuple(value) for key, value in args[0].items()}, *args[1:]]),
    ((252,), lambda args: [complex(args[0])]),
    ((580, 615, 791), lambda args: [*map(_deep, args)]),
)


def _deep_once(item: Any) -> Any:
    return tuple(item) if isinstance(item, list) else item


_SECONDS_PER_CALL = 1.0  # the least that EvalPlus gives a call
# Tasks with more than one right answer: what must hold between a result `out` and the reference's `right`.
_SAME_SET = "set(out) == set(right)"
_BOTH_FOUND = "(out if isinstance(out, bool) else out is not None) == (right is not None)"
_SURFACE = """def surface(base, height):
    return round(base ** 2 + 4 * (base * math.sqrt((base / 2) ** 2 + height ** 2)) / 2)
"""
_DIGITS = """def digits(one, other):
    one, other = str(one), str(other)
    width = max(len(one), len(other))
    return sum(abs(int(a) - int(b)) for a, b in zip(one.zfill(width), other.zfill(width)))
"""
_SPECIAL: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("Mbpp/2", "Mbpp/7", "Mbpp/111", "Mbpp/140", "Mbpp/232"), ("", _SAME_SET)),
    **dict.fromkeys(("Mbpp/249", "Mbpp/579", "Mbpp/769"), ("", _SAME_SET)),
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), ("", _BOTH_FOUND)),
    "Mbpp/581": (_SURFACE, "out == right or abs(out - surface(*arguments)) <= atol"),
    "Mbpp/558": (_DIGITS, "out == right or out == digits(*arguments)"),
    "HumanEval/32": ("", "abs(sum(c * math.pow(out, i) for i, c in enumerate(arguments[0]))) <= atol"),
}


def evalplus(row: Row, where: str) -> Task:
    """A row with `base_input` and `plus_input`. `expected` is empty: the reference gives it, in the sandbox.

    The few tasks that EvalPlus compares in a way of their own become suites that do the same.

    Raises:
        DataError: a field is missing or of the wrong type, or the inputs are not what the task takes.
    """
    task_id, prompt = identifier(row, "task_id", where), text(row, "prompt", where)
    entry_point, reference = text(row, "entry_point", where), prompt + text(row, "canonical_solution", where)
    given = [*_inputs(row, "base_input", where), *_inputs(row, "plus_input", where)]
    try:
        inputs = [_arguments(task_id, args) for args in given]
        forms = tuple(tuple(map(encode, args)) for args in inputs)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise DataError(f"{where}: the inputs of {task_id} are not what that task takes ({error})") from error
    special = _SPECIAL.get(task_id) or _SPECIAL.get(entry_point)
    check: Check
    if special:
        suite = _suite(_atol(row, where) or 1e-6, entry_point, reference, inputs, *special)
        check = AssertCheck(entry_point=entry_point, test=suite)
    else:
        atol = _atol(row, where)
        check = FunctionCheck(entry_point=entry_point, inputs=forms, expected=(), rule="evalplus", atol=atol)
    domain = "humaneval" if task_id.startswith("HumanEval") else "mbpp"
    return Task(
        task_id=task_id,
        prompt=prompt,
        domain=domain,
        check=check,
        reference=reference,
        seconds_per_test=_SECONDS_PER_CALL,
        published=True,
    )


def _atol(row: Row, where: str) -> float:
    value = row.get("atol", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise DataError(f"{where}: field 'atol' must be a number, is {value!r:.60}")
    return value


def _inputs(row: Row, name: str, where: str) -> list[Any]:
    """The argument lists of a field; an empty object, as the release has it for Mbpp/793, is no inputs."""
    value = row.get(name)
    if value == {}:
        return []
    if not isinstance(value, list) or not all(isinstance(args, list) for args in value):
        raise DataError(f"{where}: field '{name}' is missing or not a list of argument lists")
    return value


def _arguments(task_id: str, args: list[Any]) -> list[Any]:
    name, _, number = task_id.partition("/")
    if name == "Mbpp":
        for numbers, form in _FORMS:
            if int(number) in numbers:
                return form(args)
    return args


def _suite(atol: float, entry_point: str, reference: str, inputs: list[Any], helper: str, condition: str) -> str:
    """A suite that asks the reference, beside it, what is right."""
    return f"""import copy, math
{reference}
{helper}
reference, atol = {entry_point}, {atol!r}
def check(candidate):
    for arguments in {inputs!r}:
        right = reference(*copy.deepcopy(arguments))
        out = candidate(*copy.deepcopy(arguments))
        assert {condition}
"""
