"""Assert suites that say nothing but "this call gives that value": their expected values need not enter the sandbox.

HumanEval's and MBPP's suites are mostly lists of `assert candidate(literals) == literal`. Such a suite is taken apart
here, without running it: the calls go into the sandbox, the values stay, and the comparison is the one that the suite
asks for, Python's own `==` on plain data. Any other statement, and the suite runs as code, in its own process.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ssd_plugin.core.values import encode


@dataclass(frozen=True, kw_only=True)
class LiteralSuite:
    """`inputs`: argument lists in their JSON form; `expected`: the values themselves, one for each call."""

    inputs: tuple[list[Any], ...]
    expected: tuple[object, ...]


class _NotLiteralError(Exception):
    """The suite does something else than compare calls on literals with literals."""


@functools.lru_cache(maxsize=1024)
def literal_suite(test: str, entry_point: str) -> LiteralSuite | None:
    """The calls and values of a suite, in order; None when it has to be run as code."""
    try:
        pairs = [_pair(statement, names) for statement, names in _assertions(ast.parse(test), entry_point)]
    except (_NotLiteralError, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    if not pairs:
        return None
    return LiteralSuite(inputs=tuple(inputs for inputs, _ in pairs), expected=tuple(value for _, value in pairs))


def _assertions(suite: ast.Module, entry_point: str) -> Iterator[tuple[ast.Assert, set[str]]]:
    """Each assertion, with the names under which it may call the program."""
    for statement in suite.body:
        if _is_idle(statement):
            continue
        if isinstance(statement, ast.FunctionDef) and statement.name == "check":
            yield from _body_of_check(statement, entry_point)
        elif isinstance(statement, ast.Assert):
            yield statement, {entry_point}
        else:
            raise _NotLiteralError


def _body_of_check(check: ast.FunctionDef, entry_point: str) -> Iterator[tuple[ast.Assert, set[str]]]:
    taken = check.args
    others = (taken.posonlyargs, taken.kwonlyargs, taken.vararg, taken.kwarg, taken.defaults, check.decorator_list)
    if len(taken.args) != 1 or any(others):
        raise _NotLiteralError
    for statement in check.body:
        if _is_idle(statement):
            continue
        if not isinstance(statement, ast.Assert):
            raise _NotLiteralError
        yield statement, {taken.args[0].arg, entry_point}


def _is_idle(statement: ast.stmt) -> bool:
    """A docstring, `pass`, `assert True`, or HumanEval's METADATA."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Assert(test=ast.Constant(value=True)):
            return True
        case ast.Assign(targets=[ast.Name(id="METADATA")]):
            return True
    return False


def _pair(statement: ast.Assert, names: set[str]) -> tuple[list[Any], object]:
    match statement.test:  # the message does not matter: it is computed when the assertion has failed
        case ast.Compare(
            left=ast.Call(func=ast.Name(id=name), keywords=[]) as call, ops=[ast.Eq()], comparators=[value]
        ):
            if name in names:
                return [_plain(argument) for argument in call.args], ast.literal_eval(value)
    raise _NotLiteralError


def _plain(argument: ast.expr) -> Any:
    """The JSON form of a literal argument. One with a set in it goes as it is written: in what order a set is walked through
    depends on how it was made."""
    value = ast.literal_eval(argument)
    if any(isinstance(node, ast.Set) for node in ast.walk(argument)):
        return {"$literal": ast.unparse(argument)}
    return encode(value)
