"""The assert suite's side: the task's own test code, in a process that never held the graded program.

`candidate` is a stand-in that asks the program's process; what comes back is rebuilt from plain data here, so an
overridden `__eq__`, a walk through frames or an early exit over there changes nothing in the assertion. Containers that both
hold are kept the same (`shared.py`). What is not plain data stays over there, behind a `Handle`.
"""

import ast
import builtins
import contextlib
import importlib
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from ssd_plugin.core.values import encode, plain_base
from ssd_plugin.sandbox.handles import Handle
from ssd_plugin.sandbox.programs import (
    PEER,
    REPORT,
    ProgramLoadError,
    describe,
    find,
    form_of_type,
    load,
    send,
    type_of_form,
)
from ssd_plugin.sandbox.shared import Shared
from ssd_plugin.sandbox.suite_tests import run_tests

# An assertion's failure is the suite's to say, text errors take five arguments, and the end of an iteration, raised in a suite
# that calls the program from `map`, would end its loop as if all had been compared.
_NEVER_REPEATED = (AssertionError, UnicodeError, StopIteration, StopAsyncIteration)
_MALFORMED = (ValueError, TypeError, LookupError, RecursionError, OverflowError, ImportError, AttributeError)


class ProgramGoneError(Exception):
    """The program's process ended, or answered with something that is not an answer."""


class Program:
    """The graded program, seen from the suite: calls by name over one socket."""

    def __init__(self) -> None:
        self._answers = os.fdopen(PEER, "rb", closefd=False)
        self._handles: dict[int, Handle] = {}
        self._errors: dict[str, type[Exception]] = {}
        self._callbacks: dict[int, Callable[..., Any]] = {}
        self._shared = Shared(0, self._form, self._unusual, ordered=True)
        self._kept: Any = None  # the containers that the program held when it last answered

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
        self._let_go()
        found = self._exchange({"what": name})
        if isinstance(found.get("module"), str):
            try:
                return importlib.import_module(found["module"])
            except ImportError:
                return self.function(name)
        if isinstance(found.get("bases"), list):
            return self._error_type(name, found["bases"])
        return self._value(found["value"]) if "value" in found else self.function(name)

    def _ask(self, request: dict[str, Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        self._let_go()
        form = self._shared.form
        found = self._exchange(request | {"args": form(arguments), "kwargs": form(tuple(keywords.items()))})
        if "stop" in found and request.get("operation") == "next":
            raise StopIteration
        if "value" in found:
            return self._value(found["value"])
        same = self._same_error(found)
        vars(same).update(_program=_line_of(found))
        raise same

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and give the program what it asks of the suite's functions until it answers."""
        while True:
            try:
                send(PEER, request | {"contents": self._shared.contents()})
            except OSError:
                raise ProgramGoneError("the program ended") from None
            found = self.answer()
            if "broken" in found:
                raise ProgramGoneError(str(found["broken"]))
            self._take(found)
            if "callback" not in found:
                return found
            request = self._called_back(found)

    def _called_back(self, found: dict[str, Any]) -> dict[str, Any]:
        function = self._function(found["callback"])
        arguments, keywords = self._value(found["args"]), dict(self._value(found["kwargs"]))
        try:
            return {"result": self._shared.form(function(*arguments, **keywords))}
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
            self._callbacks[id(value)] = value
            return {"$callback": id(value)}
        if base := plain_base(value):
            return encode(base(value), self._form)
        raise TypeError(f"a {type(value).__name__} cannot be passed to the program: only data and functions can")

    def _take(self, found: dict[str, Any]) -> None:
        try:
            self._shared.take(found["contents"])
        except _MALFORMED:
            raise ProgramGoneError("no valid answer") from None
        self._kept = found.get("kept")

    def _let_go(self) -> None:
        """Once an answer was decoded: containers that the program let go of are no longer followed here either."""
        if self._kept is not None:
            try:
                self._shared.keep(self._kept)
            except _MALFORMED:
                raise ProgramGoneError("no valid answer") from None
            self._kept = None

    def _value(self, form: Any) -> Any:
        try:
            return self._shared.value(form)
        except _MALFORMED:
            raise ProgramGoneError("no valid answer") from None

    def _unusual(self, form: dict[str, Any]) -> Any:
        if "$type" in form:
            return type_of_form(form)
        if "$callback" in form:
            return self._function(form["$callback"])
        number = int(form["$handle"])
        return self._handles.setdefault(number, Handle(number, self))

    def _function(self, number: Any) -> Callable[..., Any]:
        if type(number) is not int or number not in self._callbacks:
            raise ProgramGoneError("no valid answer")
        return self._callbacks[number]

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
            return kind(*self._value(found.get("args", {"$tuple": [found.get("raised")]})))
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


def _run_in(namespace: dict[str, Any], suite: ast.Module, candidate: Any) -> None:
    given = dict(namespace)
    exec(compile(suite, "<test>", "exec"), namespace)  # noqa: S102 - the task's own code
    run_tests({name: found for name, found in namespace.items() if given.get(name) is not found}, candidate)


def _run_as_script(namespace: dict[str, Any], suite: ast.Module, candidate: Any) -> None:
    """Run the suite under the name of a script, so that what it guards by that name is run; one may leave by `sys.exit(0)`."""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(module).update(namespace)
    given = dict(vars(module))
    with _end_of_script():
        exec(compile(suite, "<test>", "exec"), vars(module))  # noqa: S102 - the task's own code
    own = {name: found for name, found in vars(module).items() if given.get(name) is not found}
    with _end_of_script():
        run_tests(own, candidate)


@contextlib.contextmanager
def _end_of_script() -> Iterator[None]:
    try:
        yield
    except SystemExit as error:
        if error.code:
            raise


def run_beside(job: dict[str, Any]) -> None:
    """The suite in the program's own namespace, as benchmarks do it: for suites that need more of a program than can leave its
    process. The program can do anything to the suite here."""
    try:
        namespace = load(job["program"], "solution", job.get("prelude", ""))
        candidate = find(namespace, job["entry_point"])
    except ProgramLoadError as error:
        send(REPORT, error.args[0])
        return
    try:
        _run_in(namespace, ast.parse(job["test"]), candidate)
    except BaseException as error:  # noqa: BLE001 - every way out but the last line is a failed suite
        send(REPORT, {"raised": describe(error)})
        return
    send(REPORT, {"token": job["token"]})


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
        namespace: dict[str, Any] = {"__name__": "__main__"}
        _load_helpers(job["preamble"], namespace)
        candidate = program.function(job["entry_point"])
        namespace[job["entry_point"]] = candidate
        tree = ast.parse(job["test"])
        for name in _missing_names(tree, namespace):
            namespace[name] = program.named(name)
        _run_as_script(namespace, tree, candidate)
    except BaseException as error:  # noqa: BLE001 - every way out but the last line is a failed suite
        gone = isinstance(error, ProgramGoneError)
        send(REPORT, {"gone" if gone else "raised": describe(error)} | getattr(error, "_program", {}))
        return
    send(REPORT, {"token": job["token"]})
