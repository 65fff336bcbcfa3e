"""The assert suite's side: the task's own test code, in a process that never held the graded program.

`candidate` is a stand-in that asks the program's process; what comes back is rebuilt from plain data here, so an
overridden `__eq__`, a walk through frames or an early exit over there changes nothing in the assertion.
"""

import ast
import builtins
import json
import os
from collections.abc import Callable
from typing import Any

from ssd_plugin.sandbox.programs import PEER, REPORT, describe, send
from ssd_plugin.sandbox.values import decode, encode

# An assertion's failure is the suite's to say, text errors take five arguments, and the end of an iteration, raised in a suite
# that calls the program from `map`, would end its loop as if all had been compared.
_NEVER_REPEATED = (AssertionError, UnicodeError, StopIteration, StopAsyncIteration)


class ProgramGoneError(Exception):
    """The program's process ended, or answered with something that is not an answer."""


class Handle:
    """A value that stays in the program's process; equal to nothing but itself."""

    def __init__(self, number: int) -> None:
        self.number = number


def _form_of_handle(value: object) -> dict[str, Any]:
    if type(value) is Handle:
        return {"$handle": value.number}
    raise TypeError(f"a {type(value).__name__} cannot be passed to the program: only plain data can")


def _handle_of_form(form: dict[str, Any]) -> Handle:
    return Handle(int(form["$handle"]))


class Program:
    """The graded program, seen from the suite: calls by name over one socket."""

    def __init__(self) -> None:
        self._answers = os.fdopen(PEER, "rb", closefd=False)

    def answer(self) -> dict[str, Any]:
        """The next line from the program's process.

        Raises:
            ProgramGoneError: there is none, or it is not a JSON object.
        """
        line = self._answers.readline()
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise ProgramGoneError("the program ended before it answered" if not line else "no valid answer") from None
        if not isinstance(found, dict):
            raise ProgramGoneError("no valid answer")
        return found

    def function(self, name: str) -> Callable[..., Any]:
        """A stand-in for the program's function (or class) of that name."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            request = {"call": name, "args": encode(list(arguments), _form_of_handle)}
            request["kwargs"] = encode(keywords, _form_of_handle)
            try:
                send(PEER, request)
            except OSError:
                raise ProgramGoneError("the program ended") from None
            found = self.answer()
            if "value" in found:
                try:
                    return decode(found["value"], _handle_of_form)
                except (ValueError, TypeError, LookupError, RecursionError):
                    raise ProgramGoneError("no valid answer") from None
            raise _same_error(found)

        return call


def _same_error(found: dict[str, Any]) -> Exception:
    """The built-in exception that the program raised (suites may expect one), else a RuntimeError."""
    kind = getattr(builtins, str(found.get("type")), None)
    text = str(found.get("raised"))
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _NEVER_REPEATED):
        return kind(text)
    return RuntimeError(text)


def _missing_names(test: ast.Module, namespace: dict[str, Any]) -> set[str]:
    used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return {name for name in used if name not in namespace and not hasattr(builtins, name)}


def run_suite(job: dict[str, Any]) -> None:
    """Load the prompt's helpers, then the test, then call `check(candidate)`; the token means it came to its end."""
    program = Program()
    try:
        first = program.answer()
        if "ready" not in first:
            send(REPORT, {key: str(first[key]) for key in ("syntax", "load", "entry") if key in first})
            return
        namespace: dict[str, Any] = {"__name__": "suite"}
        exec(job["preamble"], namespace)  # noqa: S102 - the task's own code
        candidate = program.function(job["entry_point"])
        namespace[job["entry_point"]] = candidate
        tree = ast.parse(job["test"])
        for name in _missing_names(tree, namespace):
            namespace[name] = program.function(name)
        exec(compile(tree, "<test>", "exec"), namespace)  # noqa: S102 - the task's own code
        if "check" in namespace:
            namespace["check"](candidate)
    except BaseException as error:  # noqa: BLE001 - every way out but the last line is a failed suite
        gone = isinstance(error, ProgramGoneError)
        send(REPORT, {"gone" if gone else "raised": describe(error)})
        return
    send(REPORT, {"token": job["token"]})
