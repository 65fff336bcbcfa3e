"""Rows of HumanEval(+), MBPP(+), LiveCodeBench and BigCodeBench, as their authors publish them, to tasks.

Nothing here is executed or unpickled: LiveCodeBench packs its private tests as a pickled text, of which only the opcodes
are read, and which may hold nothing but one text.
"""

import ast
import base64
import binascii
import io
import json
import pickletools
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.tasks.evalplus import evalplus
from ssd_plugin.tasks.fields import Row, identifier, listed_texts, optional_text, text
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, StdioCheck, Task, check_forms
from ssd_plugin.tasks.unpacked import most_unpacked

_MAX_TESTS_BYTES = 1 << 30
_TEXT_OPCODES = frozenset({"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
_OTHER_OPCODES = frozenset({"PROTO", "FRAME", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "STOP"})
# LiveCodeBench runs every program with these modules imported, both by name and all their names, with `typing`'s names and a
# deep stack, and gives it six seconds a test (lcb_runner/evaluation/testing_util.py). The builtins come last, so that no
# `pow` or `open` of a module hides them; `typing` first, so that `Counter` is the real one.
_MODULES = (
    "bisect",
    "collections",
    "copy",
    "datetime",
    "functools",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "random",
    "re",
    "statistics",
    "string",
    "operator",
    "sys",
)
_PRELUDE = "\n".join(
    [
        *(f"from {name} import *" for name in ("typing", *_MODULES, "builtins")),
        *(f"import {name}" for name in _MODULES),
        "sys.setrecursionlimit(50_000)\n",
    ]
)
_SECONDS_PER_TEST = 6
# BigCodeBench gives each task 240 seconds, to start its libraries as well; programs that hang would take days.
_SECONDS_PER_SUITE = 30
_WHOLE_PROGRAM = (
    "Write a whole Python program that reads the input from standard input and prints the answer to standard output."
)


# Benchmarks whose harness runs more than Python functions: fields that tell their rows, and what they are.
_NOT_GRADED = (
    (("instance_id", "repo", "base_commit"), "SWE-bench"),
    (("name", "language", "tests", "stop_tokens"), "MultiPL-E"),
    (("declaration", "example_test", "canonical_solution"), "HumanEval-X"),
    (("declaration", "buggy_solution", "canonical_solution"), "HumanEvalPack"),
)


def recognise(row: Row, where: str) -> Callable[[Row, str], Task] | None:
    """The reader for a published row, by its fields; None for the project's own task rows.

    Raises:
        DataError: it is of a benchmark that is not graded here (named).
    """
    if "kind" in row:
        return None
    for fields, name in _NOT_GRADED:
        if all(field in row for field in fields):
            raise DataError(
                f"{where}: {name} is not graded here, where Python functions and programs are; run its own harness and bring its "
                "results to the `benchmarks` gate"
            )
    if "question_id" in row and "public_test_cases" in row:
        return livecodebench
    if "complete_prompt" in row and "instruct_prompt" in row:
        return bigcodebench
    if "canonical_solution" in row and "entry_point" in row:
        return evalplus if "base_input" in row else humaneval
    if "test_list" in row and "code" in row:
        return mbpp
    return None


def humaneval(row: Row, where: str) -> Task:
    """HumanEval's rows, and those of the HumanEval+ data set on the hub (`test` holds `check(candidate)`)."""
    prompt = text(row, "prompt", where)
    return Task(
        task_id=identifier(row, "task_id", where),
        prompt=prompt,
        domain="humaneval",
        check=AssertCheck(entry_point=text(row, "entry_point", where), test=text(row, "test", where)),
        reference=prompt + text(row, "canonical_solution", where),
        published=True,
    )


def bigcodebench(row: Row, where: str) -> Task:
    """BigCodeBench's rows, for answers to either of its prompts: the code of the first, which the second asks to begin with too,
    is put before an answer by its harness ("calibrated") as it is here."""
    prompt = text(row, "complete_prompt", where)
    return Task(
        task_id=identifier(row, "task_id", where),
        prompt=prompt,
        domain="bigcodebench",
        check=AssertCheck(entry_point=text(row, "entry_point", where), test=text(row, "test", where)),
        reference=prompt + text(row, "canonical_solution", where),
        seconds_per_test=_SECONDS_PER_SUITE,
        published=True,
    )


def mbpp(row: Row, where: str) -> Task:
    """MBPP (full and sanitized) and MBPP+ (whose `test` holds all inputs)."""
    code, tests = text(row, "code", where), listed_texts(row, "test_list", where)
    entry_point = _called(tests, code, where)
    imports = "\n".join(listed_texts(row, "test_imports", where)) or optional_text(row, "test_setup_code", where)
    suite = text(row, "test", where) if "test" in row else "\n".join([imports, *tests])
    statement = text(row, "text" if "text" in row else "prompt", where)
    return Task(
        task_id=f"Mbpp/{identifier(row, 'task_id', where)}",
        prompt=f"{statement}\nYour code should pass these tests:\n\n" + "\n".join(tests) + "\n",
        domain="mbpp",
        check=AssertCheck(entry_point=entry_point, test=suite),
        reference=code.replace("\r\n", "\n"),
        published=True,
    )


def livecodebench(row: Row, where: str) -> Task:
    """LiveCodeBench's code generation rows, public and private tests together. A statement that comes without code to start
    from does not say how its tests talk to the program; the benchmark's own prompt does, and so does this one."""
    public = _tests(row, "public_test_cases", where)
    tests = [*public, *_tests(row, "private_test_cases", where)]
    if not tests:
        raise DataError(f"{where}: holds no tests")
    statement, check = text(row, "question_content", where), _livecodebench_check(row, tests, where)
    return Task(
        task_id=identifier(row, "question_id", where),
        prompt=f"{statement}\n\n{_WHOLE_PROGRAM}" if isinstance(check, StdioCheck) else statement,
        domain=optional_text(row, "platform", where) or "livecodebench",
        difficulty=optional_text(row, "difficulty", where),
        check=check,
        starter_code=optional_text(row, "starter_code", where),
        prelude=_PRELUDE,
        seconds_per_test=_SECONDS_PER_TEST,
        published=True,
        public_cases=len(public),
    )


def _livecodebench_check(row: Row, tests: list[dict[str, str]], where: str) -> Check:
    if all(test.get("testtype") == "stdin" for test in tests):
        inputs, expected = (tuple(test[key] for test in tests) for key in ("input", "output"))
        return StdioCheck(inputs=inputs, expected=expected)
    try:
        name = text(json.loads(text(row, "metadata", where)), "func_name", f"{where}: its metadata")
        calls = tuple(tuple(json.loads(line) for line in test["input"].split("\n") if line.strip()) for test in tests)
        values = tuple(json.loads(test["output"]) for test in tests)
    except (AttributeError, ValueError, RecursionError) as error:
        raise DataError(f"{where}: its functional tests cannot be read ({error})") from error
    check_forms([calls, values], where)
    return FunctionCheck(entry_point=f"Solution.{name}", inputs=calls, expected=values, rule="livecodebench")


def _tests(row: Row, name: str, where: str) -> list[dict[str, str]]:
    """The test list of a field: JSON, or base64 of zlib of a pickled JSON text."""
    field = text(row, name, where)
    try:
        return _test_list(json.loads(field), where)
    except (ValueError, RecursionError):
        pass
    try:
        packed = base64.b64decode(field, validate=True)
        unpacked = zlib.decompressobj().decompress(packed, min(_MAX_TESTS_BYTES, most_unpacked(len(packed))))
        return _test_list(json.loads(_pickled_text(unpacked)), where)
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"{where}: its tests cannot be decoded ({error})") from error


def _pickled_text(data: bytes) -> str:
    """The text that was pickled, found without running the pickle's machine: it has no stack or memo to be abused.

    Raises:
        ValueError: anything but one text was pickled, or the data are malformed.
    """
    texts = list(_texts(data))
    if len(texts) != 1:
        raise ValueError(f"{len(texts)} texts were pickled, not one")
    return texts[0]


def _texts(data: bytes) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
        if opcode.name in _TEXT_OPCODES:
            yield str(argument)
        elif opcode.name not in _OTHER_OPCODES:
            raise ValueError(f"a pickle with {opcode.name} is not text")


def _test_list(value: Any, where: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or not all(
        isinstance(test, dict) and isinstance(test.get("input"), str) and isinstance(test.get("output"), str)
        for test in value
    ):
        raise DataError(f"{where}: its tests must be a list of objects with input and output, both text")
    return value


def _called(tests: list[str], code: str, where: str) -> str:
    """The function of `code` that the tests call first."""
    try:
        defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(ast.parse("\n".join(tests))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{where}: its code or tests do not parse ({error})") from error
    raise DataError(f"{where}: its tests call no function that its code defines")
