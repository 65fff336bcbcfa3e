"""What runs inside a child of the zygote, beside the graded program: load it, call it, write down what it gave.

The graded program shares this process and may change anything here; all that it can reach is the text of its own
report. That text holds results, which are judged by the parent, where the expected values are.
"""

import atexit
import builtins
import json
import os
import sys
import threading
import types
from _sitebuiltins import Quitter
from collections.abc import Callable
from typing import Any, NoReturn

from ssd_plugin.sandbox import streams
from ssd_plugin.sandbox.values import decode, encode

REPORT, PEER = 3, 4  # descriptors: the report to the parent; the other process of an assert suite
_MESSAGE = 300
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
        code = compile(source.removeprefix("\ufeff"), "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError) as error:
        raise ProgramLoadError({"syntax": describe(error)}) from error
    module = types.ModuleType(name)
    sys.modules[name] = module
    vars(builtins).update(_LEAVE)
    try:
        if prelude:
            exec(compile(prelude, "<prelude>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the task's own
        exec(code, module.__dict__)  # noqa: S102 - this process exists to run it
    except BaseException as error:
        raise ProgramLoadError({"load": describe(error)}) from error
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
            text = json.dumps({"raised": describe(error)})
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


def serve(job: dict[str, Any]) -> None:
    """Answer the calls that an assert suite makes from its own process.

    Requests are `{"call": name or handle, "args": form, "kwargs": form}`; values that are not plain data stay here
    and travel as `{"$handle": n}`.
    """
    handles: list[object] = []

    def keep(value: object) -> dict[str, Any]:
        handles.append(value)
        return {"$handle": len(handles) - 1}

    def fetch(form: dict[str, Any]) -> object:
        return handles[form["$handle"]]

    try:
        namespace = load(job["program"], "solution", job.get("prelude", ""))
        functions = {job["entry_point"]: find(namespace, job["entry_point"])}
    except ProgramLoadError as error:
        send(PEER, error.args[0])
        return
    send(PEER, {"ready": True})
    with os.fdopen(PEER, "rb", closefd=False) as requests:
        for line in requests:
            request = json.loads(line)
            try:
                name = request["call"]
                function = functions.get(name) or namespace[name]
                arguments, keywords = decode(request["args"], fetch), decode(request["kwargs"], fetch)
                text = json.dumps({"value": encode(function(*arguments, **keywords), keep)})
            except BaseException as error:  # noqa: BLE001 - whatever the program raises is its answer
                text = json.dumps({"raised": describe(error), "type": type(error).__name__})
            data = text.encode() + b"\n"
            while data:
                data = data[os.write(PEER, data) :]
