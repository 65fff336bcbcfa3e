"""What runs inside a child of the zygote, beside the graded program: load it, call it, write down what it gave.

The graded program shares this process and may change anything here; all that it can reach is the text of its own
report. That text holds results, which are judged by the parent, where the expected values are.
"""

import atexit
import builtins
import collections
import json
import operator
import os
import sys
import threading
import types
from _sitebuiltins import Quitter
from collections.abc import Callable
from typing import Any, NoReturn

from ssd_plugin.core.values import decode, encode
from ssd_plugin.sandbox import streams

REPORT, PEER = 3, 4  # descriptors: the report to the parent; the other process of an assert suite
PROGRAM = "<program>"  # its file's name in tracebacks
_MESSAGE = 300
_traceback_of = vars(BaseException)["__traceback__"].__get__  # whatever the error's own class says
# A script has these from the module `site`, which the bare interpreter leaves out.
_LEAVE = {name: Quitter(name, "Ctrl-D (i.e. EOF)") for name in ("exit", "quit")}


class ProgramLoadError(Exception):
    """The program could not be compiled, failed while loading, or lacks the entry point; `args[0]` is the report."""


def describe(error: BaseException) -> str:
    """`Type: message` in at most 300 characters."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the message is the graded program's own code
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}"[:_MESSAGE]


def raised(error: BaseException, name: str = "raised") -> dict[str, Any]:
    """The line of a report for an error: what it says, and the last line of the program on its way (0: none)."""
    line, step = 0, _traceback_of(error)
    while step:
        if step.tb_frame.f_code.co_filename == PROGRAM:
            line = step.tb_lineno or line
        step = step.tb_next
    return {name: describe(error)} | ({"line": line} if line else {})


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one line of JSON, whole."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


def load(source: str, name: str, prelude: str = "") -> dict[str, Any]:
    """Run the program's top level as module `name`, after the task's `prelude`; returns its namespace.

    Two runs in one namespace, because a program may begin with `from __future__ import ...`, which nothing may precede.

    Raises:
        ProgramLoadError: with `{"syntax": ...}` or `{"load": ...}`.
    """
    try:
        code = compile(source.removeprefix("\ufeff"), PROGRAM, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError) as error:
        line = getattr(error, "lineno", None)
        raise ProgramLoadError({"syntax": describe(error)} | ({"line": line} if line else {})) from error
    module = types.ModuleType(name)
    sys.modules[name] = module
    vars(builtins).update(_LEAVE)
    try:
        if prelude:
            exec(compile(prelude, "<prelude>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the task's own
        exec(code, module.__dict__)  # noqa: S102 - this process exists to run it
    except BaseException as error:
        raise ProgramLoadError(raised(error, "load")) from error
    return module.__dict__


def find(namespace: dict[str, Any], entry_point: str) -> Callable[..., Any]:
    """The function `name`, or the method of a new instance for `Class.method`; a plain function where there is no such class.

    Raises:
        ProgramLoadError: with `{"entry": ...}`.
    """
    owner, _, method = entry_point.rpartition(".")
    try:
        found = getattr(namespace[owner](), method) if owner in namespace else namespace[method]
    except BaseException as error:
        raise ProgramLoadError({"entry": describe(error)}) from error
    if not callable(found):
        raise ProgramLoadError({"entry": f"{entry_point} is not callable"})
    return found  # type: ignore[no-any-return]


def _as_written(form: dict[str, Any]) -> Any:
    """A literal of the task's own suite, made as the suite would have made it."""
    return eval(form["$literal"], {})  # noqa: S307 - nothing but a literal: the grader has parsed it


def run_function(job: dict[str, Any]) -> None:
    """Call the entry point with each argument list; one line a call (`{"value": form}` or `{"raised": text}`)."""
    try:
        function = find(load(job["program"], "solution", job.get("prelude", "")), job["entry_point"])
    except ProgramLoadError as error:
        send(REPORT, error.args[0])
        return
    for arguments in job["inputs"]:
        try:
            line = {"value": encode(function(*decode(arguments, _as_written)))}
            text = json.dumps(line)
        except BaseException as error:  # noqa: BLE001 - whatever the program raises is its answer
            text = json.dumps(raised(error))
        data = text.encode() + b"\n"
        while data:
            data = data[os.write(REPORT, data) :]
    send(REPORT, {"done": True})


def run_stdio(job: dict[str, Any]) -> NoReturn:
    """Run the program as a script on the given standard input; the exit status is 1 when it failed."""
    status = 0
    source, output = (
        os.fdopen(number, mode, encoding="utf-8", errors="surrogateescape", closefd=False)
        for number, mode in ((0, "r"), (1, "w"))
    )
    vars(sys).update(stdin=source, __stdin__=source, stdout=output, __stdout__=output)
    try:
        load(job["program"], "__main__", job.get("prelude", ""))
    except ProgramLoadError as error:
        if not isinstance(
            error.__cause__, SystemExit
        ):  # whatever its code: the output is judged, as LiveCodeBench does
            send(REPORT, error.args[0])
            status = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # wait for the script's threads, as the interpreter does
        atexit._run_exitfuncs()
        streams.flush_at_exit("__main__")
    except BaseException as error:  # noqa: BLE001 - a broken stream is the program's failure
        send(REPORT, {"load": describe(error)})
        status = status or 1
    os._exit(status & 0xFF)


def form_of_type(value: object) -> dict[str, Any] | None:
    """The form of a built-in type, which suite and program hand each other by name."""
    known = isinstance(value, type) and getattr(builtins, value.__name__, None) is value
    return {"$type": value.__name__} if known else None  # type: ignore[attr-defined]


def type_of_form(form: dict[str, Any]) -> type:
    """The built-in type of that name.

    Raises:
        ValueError: there is none.
    """
    found = getattr(builtins, str(form["$type"]), None)
    if not isinstance(found, type):
        raise ValueError("no built-in type")  # noqa: TRY004 - a malformed form, as any other
    return found


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr, "call": lambda found, *args, **keywords: found(*args, **keywords), "iter": iter, "next": next,
    "len": len, "bool": bool, "str": str, "getitem": operator.getitem, "setitem": operator.setitem, "eq": operator.eq,
}  # fmt: skip
_CONTAINERS = (list, dict, set, bytearray, collections.deque)


class _Server:
    """Answers the suite, one line for each request; values that are not plain data stay here, as `{"$handle": n}`."""

    def __init__(self, functions: dict[str, Any], namespace: dict[str, Any]) -> None:
        self._functions, self._namespace = functions, namespace
        self._handles: list[object] = []
        self._numbers: dict[int, int] = {}
        self._requests = os.fdopen(PEER, "rb", closefd=False)

    def answer_all(self) -> dict[str, Any] | None:
        """Until the suite gives what the program asked of one of its functions, or is gone."""
        for line in iter(self._requests.readline, b""):
            request = json.loads(line)
            if "result" in request or "error" in request:
                return request  # type: ignore[no-any-return]
            send(PEER, self._named(request["what"]) if "what" in request else self._answer(request))
        return None

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        given = [request["args"], request["kwargs"]]
        arguments: list[Any] = []
        keywords: dict[str, Any] = {}
        answer: dict[str, Any]
        try:
            arguments, keywords = decode(given, self._fetch)
            if "operation" in request:
                function = _OPERATIONS[request["operation"]]
            else:
                function = self._functions.get(request["call"]) or self._namespace[request["call"]]
            value = function(*arguments, **keywords)
            same = [at for at, one in enumerate(arguments) if one is value and isinstance(value, _CONTAINERS)]
            answer = {"argument": same[0]} if same else {"value": encode(value, self._keep)}
            json.dumps(answer)
        except BaseException as error:  # noqa: BLE001 - whatever the program raises is its answer
            answer = self._raised(error)
        return answer | self._state(given, arguments, keywords)

    def _state(self, given: list[Any], arguments: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """What the call made of its arguments, where that is not what they were."""
        if not any(isinstance(form, list | dict) for form in (*given[0], *given[1].values())):
            return {}
        try:
            state = encode([arguments, keywords], self._keep)
        except BaseException as error:  # noqa: BLE001 - an argument that has become nonsense is the program's doing
            return self._raised(error)
        return {} if state == given else {"state": state}

    def _raised(self, error: BaseException) -> dict[str, Any]:
        kind = type(error)
        answer: dict[str, Any] = raised(error) | {"type": kind.__name__}
        if isinstance(error, StopIteration):
            answer["stop"] = True
        answer["bases"] = [base.__name__ for base in kind.__mro__]
        try:
            answer["args"] = encode(list(error.args), self._keep)
            json.dumps(answer)
        except BaseException:  # noqa: BLE001 - the program's own class may do anything
            answer.pop("args", None)
        return answer

    def _named(self, name: str) -> dict[str, Any]:
        found = self._namespace.get(name)
        if isinstance(found, types.ModuleType):
            return {"module": found.__name__}
        if isinstance(found, type) and issubclass(found, Exception):
            return {"bases": [base.__name__ for base in found.__mro__[1:]]}
        if name not in self._namespace or isinstance(found, types.FunctionType | type):
            return {}
        try:
            return {"value": encode(found, self._keep)}
        except ValueError:
            return {}

    def _keep(self, value: object) -> dict[str, Any]:
        if known := form_of_type(value):
            return known
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._handles)
            self._handles.append(value)
        return {"$handle": self._numbers[id(value)]}

    def _fetch(self, form: dict[str, Any]) -> object:
        if "$callback" in form:
            return lambda *arguments, **keywords: self._call_back(form["$callback"], arguments, keywords)
        return type_of_form(form) if "$type" in form else self._handles[form["$handle"]]

    def _call_back(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        forms = {"args": encode(list(arguments), self._keep), "kwargs": encode(keywords, self._keep)}
        send(PEER, {"callback": number} | forms)
        found = self.answer_all() or {}
        if "result" in found:
            return decode(found["result"], self._fetch)
        kind = getattr(builtins, str(found.get("error")), RuntimeError)
        raise kind(found.get("text"))


def serve(job: dict[str, Any]) -> None:
    """Answer the calls that an assert suite makes from its own process."""
    try:
        namespace = load(job["program"], "solution", job.get("prelude", ""))
        functions = {job["entry_point"]: find(namespace, job["entry_point"])}
    except ProgramLoadError as error:
        send(PEER, error.args[0])
        return
    send(PEER, {"ready": True})
    _Server(functions, namespace).answer_all()
