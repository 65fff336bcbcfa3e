"""Tasks, samples and results: the three line formats that the stages, the grader and the gates exchange."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import JsonObject, read_jsonl
from ssd_plugin.core.values import decode
from ssd_plugin.errors import DataError
from ssd_plugin.tasks.files import read_rows
from ssd_plugin.tasks.public_samples import PublicSamples


class Status(StrEnum):
    """What became of one program. `infra` is never a model's failure: it stops the run."""

    PASS = "pass"
    FAIL = "fail"
    TIMEOUT = "timeout"
    SYNTAX = "syntax"
    CRASH = "crash"
    NO_CODE = "no_code"
    INFRA = "infra"


@dataclass(frozen=True, kw_only=True)
class FunctionCheck:
    """Call `entry_point` with each argument list; results are compared outside the sandbox.

    `rule`: how (`ssd_plugin.grading.compare`), with `atol`, the absolute tolerance of an `evalplus` row.
    """

    entry_point: str
    inputs: tuple[tuple[Any, ...], ...]
    expected: tuple[Any, ...]
    rule: str = "json"
    atol: float = 0.0
    weak_oracle = False

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """The expected values, out of their JSON forms."""
        return tuple(map(decode, self.expected))


@dataclass(frozen=True, kw_only=True)
class StdioCheck:
    """Feed each input to standard input; standard output is compared line by line outside the sandbox."""

    inputs: tuple[str, ...]
    expected: tuple[str, ...]
    weak_oracle = False


@dataclass(frozen=True, kw_only=True)
class AssertCheck:
    """HumanEval's form: `test` defines `check(candidate)`; it shares a process with the program (weak oracle)."""

    entry_point: str
    test: str
    weak_oracle = True


RULES = ("json", "python", "livecodebench", "evalplus")
Check = FunctionCheck | StdioCheck | AssertCheck
MOST_SECONDS_PER_TEST = 3600


@dataclass(frozen=True, kw_only=True)
class Task:
    """One problem. A training prompt may have no check (SSD needs none); a graded task must have one.

    `prelude` is run in the program's namespace before the program, for a benchmark that lets its programs leave imports
    out; what was graded is still the model's text alone. `seconds_per_test`: 0 is the grader's own limit. `published`: it
    comes from a benchmark that others made, so a reference that fails by the task's own tests breaks this task alone.
    `public_cases`: how many of its first tests the model may be shown, beside those that stand in the prompt.
    """

    task_id: str
    prompt: str
    domain: str = "general"
    difficulty: str = ""
    check: Check | None = None
    reference: str = ""
    starter_code: str = ""
    prelude: str = ""
    seconds_per_test: float = 0
    published: bool = False
    public_cases: int = 0

    def to_json(self) -> JsonObject:
        """The task-file row; `task_from_json(task.to_json()) == task`."""
        row: JsonObject = {"task_id": self.task_id, "prompt": self.prompt, "domain": self.domain}
        optional = (
            "difficulty",
            "reference",
            "starter_code",
            "prelude",
            "seconds_per_test",
            "published",
            "public_cases",
        )
        row |= {k: v for k in optional if (v := getattr(self, k))}
        match self.check:
            case FunctionCheck(entry_point=entry, inputs=inputs, expected=expected):
                row |= {"kind": "function", "entry_point": entry}
                row |= {"inputs": [list(args) for args in inputs], "expected": list(expected)}
                row |= {
                    key: value for key in ("rule", "atol") if (value := getattr(self.check, key)) not in ("json", 0)
                }
            case StdioCheck(inputs=texts, expected=outputs):
                row |= {"kind": "stdio", "inputs": list(texts), "expected": list(outputs)}
            case AssertCheck(entry_point=entry, test=test):
                row |= {"kind": "assert", "entry_point": entry, "test": test}
        return row


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One completion: raw model text, or code. `thinking`: the prompt ended inside a thought, so the completion begins in it."""

    task_id: str
    sample_id: str
    completion: str
    finish_reason: str = ""
    thinking: bool = False
    token_ids: tuple[int, ...] = ()

    def to_json(self) -> JsonObject:
        """The samples-file row; `sample_from_json(sample.to_json()) == sample`."""
        row: JsonObject = {"task_id": self.task_id, "sample_id": self.sample_id, "completion": self.completion}
        if self.finish_reason:
            row["finish_reason"] = self.finish_reason
        if self.thinking:
            row["thinking"] = True
        if self.token_ids:
            row["token_ids"] = list(self.token_ids)
        return row


@dataclass(frozen=True, kw_only=True)
class Result:
    """One graded sample: what was run (`program`), what became of it and, in a line, why. `thinking`: as the sample had it, since
    a result is a sample that may be graded again."""

    task_id: str
    sample_id: str
    completion: str
    status: Status
    program: str
    detail: str = ""
    finish_reason: str = ""
    thinking: bool = False

    def to_json(self) -> JsonObject:
        """The result-file row; `result_from_json(result.to_json()) == result`."""
        row: JsonObject = {
            "task_id": self.task_id,
            "sample_id": self.sample_id,
            "completion": self.completion,
            "status": self.status.value,
            "program": self.program,
            "detail": self.detail,
        }
        if self.finish_reason:
            row["finish_reason"] = self.finish_reason
        if self.thinking:
            row["thinking"] = True
        return row


def _text(row: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str) or (default is None and not value.strip() and key != "completion"):
        found = "missing" if key not in row else repr(value)[:60]
        raise DataError(
            f"{where}: field '{key}' must be {'text' if default is not None else 'non-empty text'}, is {found}"
        )
    return value


def _flag(row: Mapping[str, Any], key: str, where: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise DataError(f"{where}: field '{key}' must be true or false, is {value!r:.60}")
    return value


def _list(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = row.get(key)
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: field '{key}' must be a non-empty list")
    return value


def check_forms(forms: list[Any], where: str) -> None:
    """Refuse what no line of JSON can say, and so no later file could repeat: bare NaN and infinities above all.

    Raises:
        DataError: `where` (file:line) leads the message.
    """
    try:
        json.dumps(forms, allow_nan=False)
    except ValueError:
        raise DataError(
            f'{where}: inputs and expected values must be finite; write {{"$float": "nan"}}, "inf" or "-inf"'
        ) from None
    except (TypeError, RecursionError, OverflowError) as error:
        raise DataError(f"{where}: inputs and expected values must be JSON ({error})") from error


def _seconds(row: Mapping[str, Any], where: str) -> float:
    value = row.get("seconds_per_test", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_SECONDS_PER_TEST:
        raise DataError(
            f"{where}: field 'seconds_per_test' must be a number from 0 to {MOST_SECONDS_PER_TEST}, is {value!r:.60}"
        )
    return value


def _public_cases(row: Mapping[str, Any], where: str) -> int:
    value = row.get("public_cases", 0)
    if type(value) is not int or value < 0:
        raise DataError(f"{where}: field 'public_cases' must be a whole number from 0, is {value!r:.60}")
    return value


def _rule(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    rule, atol = row.get("rule", "json"), row.get("atol", 0)
    if rule not in RULES:
        raise DataError(f"{where}: field 'rule' is {rule!r:.60}; allowed: {', '.join(RULES)}")
    if isinstance(atol, bool) or not isinstance(atol, int | float) or not 0 <= atol < math.inf:
        raise DataError(f"{where}: field 'atol' must be a number that is not negative, is {atol!r:.60}")
    return {"rule": rule, "atol": atol}


def _check_from_json(row: Mapping[str, Any], where: str) -> Check | None:
    kind = row.get("kind")
    if kind is None:
        return None
    if kind == "assert":
        return AssertCheck(entry_point=_text(row, "entry_point", where), test=_text(row, "test", where))
    if kind not in ("function", "stdio"):
        raise DataError(f"{where}: field 'kind' is {kind!r}; allowed: function, stdio, assert")
    inputs = _list(row, "inputs", where)
    from_reference = row.get("expected") == [] and row.get("published") is True and bool(row.get("reference"))
    expected = [] if from_reference else _list(row, "expected", where)
    if len(inputs) != len(expected) and not from_reference:
        raise DataError(f"{where}: {len(inputs)} inputs but {len(expected)} expected values")
    if kind == "function":
        if not all(isinstance(args, list) for args in inputs):
            raise DataError(f"{where}: each entry of 'inputs' must be a list of arguments")
        check_forms([inputs, expected], where)
        arguments = tuple(tuple(args) for args in inputs)
        return FunctionCheck(
            entry_point=_text(row, "entry_point", where),
            inputs=arguments,
            expected=tuple(expected),
            **_rule(row, where),
        )
    if not all(isinstance(text, str) for text in (*inputs, *expected)):
        raise DataError(f"{where}: a stdio task's 'inputs' and 'expected' must be text")
    return StdioCheck(inputs=tuple(inputs), expected=tuple(expected))


def task_from_json(row: Mapping[str, Any], where: str = "task") -> Task:
    """Build a task from a task-file row.

    Raises:
        DataError: a field is missing or of the wrong type; `where` (file:line) leads the message.
    """
    return Task(
        task_id=_text(row, "task_id", where),
        prompt=_text(row, "prompt", where),
        domain=_text(row, "domain", where, "general"),
        difficulty=_text(row, "difficulty", where, ""),
        check=_check_from_json(row, where),
        reference=_text(row, "reference", where, ""),
        starter_code=_text(row, "starter_code", where, ""),
        prelude=_text(row, "prelude", where, ""),
        seconds_per_test=_seconds(row, where),
        published=_flag(row, "published", where),
        public_cases=_public_cases(row, where),
    )


def sample_from_json(row: Mapping[str, Any], where: str = "sample") -> Sample:
    """Build a sample from a samples-file row.

    Raises:
        DataError: a field is missing or of the wrong type.
    """
    token_ids = row.get("token_ids", [])
    if not isinstance(token_ids, list) or not all(type(t) is int for t in token_ids):
        raise DataError(f"{where}: field 'token_ids' must be a list of whole numbers")
    return Sample(
        task_id=_text(row, "task_id", where),
        sample_id=_text(row, "sample_id", where),
        completion=_text(row, "completion", where),
        finish_reason=_text(row, "finish_reason", where, ""),
        thinking=_flag(row, "thinking", where),
        token_ids=tuple(token_ids),
    )


def result_from_json(row: Mapping[str, Any], where: str = "result") -> Result:
    """Build a result from a result-file row.

    Raises:
        DataError: a field is missing or of the wrong type, or the status is unknown.
    """
    try:
        status = Status(_text(row, "status", where))
    except ValueError:
        raise DataError(f"{where}: unknown status {row['status']!r}; allowed: {', '.join(Status)}") from None
    return Result(
        task_id=_text(row, "task_id", where),
        sample_id=_text(row, "sample_id", where),
        completion=_text(row, "completion", where),
        status=status,
        program=_text(row, "program", where, ""),
        detail=_text(row, "detail", where, ""),
        finish_reason=_text(row, "finish_reason", where, ""),
        thinking=_flag(row, "thinking", where),
    )


def iter_tasks(path: Path) -> Iterator[Task]:
    """Stream a task file.

    Raises:
        DataError: a row is malformed (names the line).
    """
    for number, row in read_jsonl(path):
        yield task_from_json(row, f"{path}:{number}")


def read_tasks(path: Path) -> list[Task]:
    """Read a task file.

    Raises:
        DataError: unreadable, empty, or two tasks share an id.
    """
    tasks: dict[str, Task] = {}
    for number, row in read_jsonl(path):
        task = task_from_json(row, f"{path}:{number}")
        if task.task_id in tasks:
            raise DataError(f"{path}:{number}: task_id {task.task_id!r} appears twice")
        tasks[task.task_id] = task
    if not tasks:
        raise DataError(f"{path}: holds no tasks")
    return list(tasks.values())


def read_samples(path: Path) -> Iterator[Sample]:
    """Stream a samples file (.jsonl, .jsonl.gz, or .json with a list), ours or as another harness wrote it; the caller checks ids
    against its tasks.

    Raises:
        DataError: a row is malformed or ambiguous (names the line).
    """
    public = PublicSamples()
    for number, row in read_rows(path):
        for sample in public.rows(row, f"{path}:{number}"):
            yield sample_from_json(sample, f"{path}:{number}")


def read_results(path: Path) -> Iterator[Result]:
    """Stream a result file.

    Raises:
        DataError: a row is malformed (names the line).
    """
    for number, row in read_jsonl(path):
        yield result_from_json(row, f"{path}:{number}")
