"""The assert suite's side: the task's own test code, in a process that never held the graded program.

`candidate` is a stand-in that asks the program's process; what comes back is rebuilt from plain data here, so an
overridden `__eq__`, a walk through frames or an early exit over there changes nothing in the assertion. The state of the
arguments after the call comes back too. What is not plain data stays over there, behind a `Handle`.
"""

import ast
import builtins
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ssd_plugin.core.values import decode, encode, plain_base
from ssd_plugin.sandbox.handles import Handle, bring_up_to_date
from ssd_plugin.sandbox.programs import PEER, REPORT, describe, form_of_type, send, type_of_form

# An assertion's failure is the suite's to say, text errors take five arguments, and the end of an iteration, raised in a suite
# that calls the program from `map`, would end its loop as if all had been compared.
_NEVER_REPEATED = (AssertionError, UnicodeError, StopIteration, StopAsyncIteration)


class ProgramGoneError(Exception):
    """The program's process ended, or answered with something that is not an answer."""


class Program:
    """The graded program, seen from the suite: calls by name over one socket."""

    def __init__(self) -> None:
        self._answers = os.fdopen(PEER, "rb", closefd=False)
        self._handles: dict[int, Handle] = {}
        self._errors: dict[str, type[Exception]] = {}
        self._callbacks: list[Callable[..., Any]] = []

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
        return lambda *arguments, **keywords: self._ask({"call": name}, arguments, keywords)

    def operation(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Python's own operation of that name, over there, on what is behind a handle."""
        return self._ask({"operation": name}, arguments, keywords)

    def named(self, name: str) -> Any:
        """What the suite means by a name that only the program knows: a module, an exception, data, or a stand-in."""
        found = self._exchange({"what": name})
        if isinstance(found.get("module"), str):
            try:
                return importlib.import_module(found["module"])
            except ImportError:
                return self.function(name)
        if isinstance(found.get("bases"), list):
            return self._error_type(name, found["bases"])
        return self._decoded(found["value"]) if "value" in found else self.function(name)

    def _ask(self, request: dict[str, Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        request |= {"args": encode(list(arguments), self._form), "kwargs": encode(keywords, self._form)}
        found = self._exchange(request)
        if "state" in found:
            state = self._decoded(found["state"])
            bring_up_to_date([list(arguments), keywords], state)
        if "stop" in found and request.get("operation") == "next":
            raise StopIteration
        if "argument" in found:
            return arguments[self._index(found["argument"], len(arguments))]
        if "value" in found:
            return self._decoded(found["value"])
        same = self._same_error(found)
        vars(same).update(_program=_line_of(found))
        raise same

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and give the program what it asks of the suite's functions until it answers."""
        while True:
            try:
                send(PEER, request)
            except OSError:
                raise ProgramGoneError("the program ended") from None
            found = self.answer()
            if "callback" not in found:
                return found
            request = self._called_back(found)

    def _called_back(self, found: dict[str, Any]) -> dict[str, Any]:
        function = self._callbacks[self._index(found["callback"], len(self._callbacks))]
        arguments, keywords = self._decoded(found["args"]), self._decoded(found["kwargs"])
        try:
            return {"result": encode(function(*arguments, **keywords), self._form)}
        except ProgramGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - the program may catch what the suite's function raises
            return {"error": type(error).__name__, "text": str(error)}

    def _form(self, value: object) -> Any:
        if type(value) is Handle:
            return {"$handle": object.__getattribute__(value, "_number")}
        if known := form_of_type(value):
            return known
        if callable(value):
            self._callbacks.append(value)
            return {"$callback": len(self._callbacks) - 1}
        if base := plain_base(value):
            return encode(base(value), self._form)
        raise TypeError(f"a {type(value).__name__} cannot be passed to the program: only data and functions can")

    def _decoded(self, form: Any) -> Any:
        try:
            return decode(form, self._unusual)
        except (ValueError, TypeError, LookupError, RecursionError, OverflowError, ImportError):
            raise ProgramGoneError("no valid answer") from None

    def _unusual(self, form: dict[str, Any]) -> Any:
        if "$type" in form:
            return type_of_form(form)
        number = int(form["$handle"])
        return self._handles.setdefault(number, Handle(number, self))

    @staticmethod
    def _index(number: Any, length: int) -> int:
        if type(number) is not int or not 0 <= number < length:
            raise ProgramGoneError("no valid answer")
        return number

    def _error_type(self, name: str, bases: list[Any]) -> type[Exception]:
        """The built-in exception of that name, else a class of that name below the nearest built-in one."""
        kinds = [getattr(builtins, str(base), None) for base in (name, *bases)]
        known = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception)]
        base = next((kind for kind in known if not issubclass(kind, _NEVER_REPEATED)), RuntimeError)
        if base is kinds[0] or not known:
            return base
        return self._errors.setdefault(name, type(name[:80], (base,), {}))

    def _same_error(self, found: dict[str, Any]) -> Exception:
        bases = found.get("bases")
        kind = self._error_type(str(found.get("type")), bases if isinstance(bases, list) else [])
        try:
            return kind(*self._decoded(found.get("args", [found.get("raised")])))
        except (TypeError, ValueError):
            return kind(str(found.get("raised")))


def _line_of(answer: dict[str, Any]) -> dict[str, int]:
    """The program's line that an answer names, if it is a number."""
    return {"line": answer["line"]} if type(answer.get("line")) is int else {}


def _missing_names(test: ast.Module, namespace: dict[str, Any]) -> set[str]:
    used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    kept = {node.id for node in ast.walk(test) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    kept |= {node.arg for node in ast.walk(test) if isinstance(node, ast.arg)}
    kept |= {node.name for node in ast.walk(test) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    kept |= {(alias.asname or alias.name).split(".")[0] for node in ast.walk(test)
             if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}  # fmt: skip
    return {name for name in used - kept if name not in namespace and not hasattr(builtins, name)}


def _load_helpers(preamble: str, namespace: dict[str, Any]) -> None:
    """What the prompt defines; prose that happens to be Python defines nothing, and a line that fails is left out."""
    for statement in ast.parse(preamble).body:
        if isinstance(statement, ast.Expr):
            continue
        try:
            exec(compile(ast.Module([statement], []), "<prompt>", "exec"), namespace)  # noqa: S102 - the task's own code
        except Exception:  # noqa: BLE001, S112 - the task's own code may raise anything
            continue


def _draw_anew() -> None:
    """Random draws of the suite's own: program and suite were forked from one process, with one state."""
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _run_tests(own: dict[str, Any], candidate: Any) -> None:
    """Run what the suite defines as tests: `check(candidate)`, functions and classes by pytest's names, unittest's cases."""
    if "check" in own:
        own["check"](candidate)
    for name, found in own.items():
        if not name.startswith(("test", "Test")) and not _is_case(found):
            continue
        if _is_case(found):
            _run_case(found)
        elif inspect.isclass(found):
            for method in [method for method in dir(found) if method.startswith("test")]:
                getattr(found(), method)()
        elif inspect.isfunction(found):
            required = [one for one in inspect.signature(found).parameters.values() if one.default is one.empty]
            if (
                len(required) <= 1
            ):  # one that needs fixtures cannot be run; then the suite has to prove itself without it
                found(*[candidate] * len(required))


def _is_case(found: Any) -> bool:
    unittest: Any = sys.modules.get("unittest")
    return unittest is not None and inspect.isclass(found) and issubclass(found, unittest.TestCase)


def _run_case(case: Any) -> None:
    unittest: Any = sys.modules["unittest"]
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    for _, text in (*result.failures, *result.errors):
        raise AssertionError(text.strip().splitlines()[-1])
    if not result.wasSuccessful():
        raise AssertionError("an expected failure did not come")


def run_suite(job: dict[str, Any]) -> None:
    """Load the prompt's helpers, then the test, then run its tests; the token means it came to its end."""
    program = Program()
    try:
        first = program.answer()
        if "ready" not in first:
            send(
                REPORT, {key: str(first[key]) for key in ("syntax", "load", "entry") if key in first} | _line_of(first)
            )
            return
        _draw_anew()
        namespace: dict[str, Any] = {"__name__": "suite"}
        _load_helpers(job["preamble"], namespace)
        candidate = program.function(job["entry_point"])
        namespace[job["entry_point"]] = candidate
        tree = ast.parse(job["test"])
        for name in _missing_names(tree, namespace):
            namespace[name] = program.named(name)
        given = dict(namespace)
        exec(compile(tree, "<test>", "exec"), namespace)  # noqa: S102 - the task's own code
        _run_tests({name: v for name, v in namespace.items() if given.get(name) is not v}, candidate)
    except BaseException as error:  # noqa: BLE001 - every way out but the last line is a failed suite
        gone = isinstance(error, ProgramGoneError)
        send(REPORT, {"gone" if gone else "raised": describe(error)} | getattr(error, "_program", {}))
        return
    send(REPORT, {"token": job["token"]})
