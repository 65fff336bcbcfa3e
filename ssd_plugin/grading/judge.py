"""One program, one verdict: sends it to a sandbox worker with its inputs and judges what comes back.

The expected values stay in this process. A program is a `pass` only if every value it was asked for came back and is
equal to the expected one; what it writes beside that, and how it ends, can only lose.

    pass     every value equal; for a suite: it ran to its end
    fail     a wrong value, an exception, a missing entry point, output beyond any right answer, exit status not 0
    timeout  CPU time or wall time used up
    syntax   does not compile
    crash    ended without an answer: killed by a signal, left early, scratch overfull
"""

import io
import json
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ssd_plugin.core.values import encode
from ssd_plugin.errors import DataError
from ssd_plugin.grading.compare import comparison, same_output
from ssd_plugin.grading.literal_suite import literal_suite
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import End, Report, Worker
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, Status, StdioCheck, Task

_SMALL_REPORT = 4096
_A_CASE = 512  # room for one case's error text
# A result equal to the expected one can be written longer (tags, digits), but not this much longer.
_LONGER = 16
# For tasks with a time limit of their own: all calls of a function task together, and the least address space.
_MOST_CALL_SECONDS, _ROOMY_MIB = 60.0, 4096
_PATIENCE, _PATIENT_SECONDS = 10.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Status and reason; `again` asks for another try, alone; `cpu` is the seconds of the slowest process."""

    status: Status
    detail: str = ""
    again: bool = False
    cpu: float = 0.0


def judge(worker: Worker, task: Task, program: str, limits: Limits) -> Judgement:
    """Run `program` against the task's check.

    Raises:
        SandboxError: the sandbox failed; nothing can be said about the program.
        DataError: the task has no check.
    """
    limits, payload = limits_for(task, limits), program_of(task, program)
    match task.check:
        case FunctionCheck() as check:
            return _judge_function(worker, check, payload, limits)
        case StdioCheck() as check:
            return _judge_stdio(worker, check, payload, limits)
        case AssertCheck() as check:
            return _judge_suite(worker, check, task.prompt, payload, limits)
        case None:
            raise DataError(f"task {task.task_id!r} has no tests (kind, inputs and expected): it cannot be graded")


def limits_for(task: Task, limits: Limits) -> Limits:
    """The limits, never lower, with the time that a task gives each of its tests: for a function task, whose calls share a
    process, all of them together, up to a minute."""
    if not task.seconds_per_test:
        return limits
    calls = len(task.check.inputs) if isinstance(task.check, FunctionCheck) else 1
    own = max(task.seconds_per_test, min(calls * task.seconds_per_test, _MOST_CALL_SECONDS))
    cpu, memory = max(limits.cpu_seconds, own), max(limits.memory_mib, _ROOMY_MIB)
    return replace(limits, cpu_seconds=cpu, wall_seconds=max(limits.wall_seconds, 2 * cpu), memory_mib=memory)


def patient(limits: Limits) -> Limits:
    """What a reference may use: a slow one is not a wrong one."""
    cpu = max(_PATIENT_SECONDS, _PATIENCE * limits.cpu_seconds)
    return replace(limits, cpu_seconds=cpu, wall_seconds=max(2 * cpu, _PATIENCE * limits.wall_seconds))


def program_of(task: Task, program: str) -> dict[str, Any]:
    """What is sent of a program, whatever its check."""
    return {"program": program, "prelude": task.prelude} if task.prelude else {"program": program}


def _judge_function(worker: Worker, check: FunctionCheck, program: dict[str, Any], limits: Limits) -> Judgement:
    payload = program | {"entry_point": check.entry_point, "inputs": check.inputs}
    return _judge_calls(worker, payload, _Answers(values=check.values, same=comparison(check.rule, check.atol)), limits)


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What a program's calls must give, and when a result is the same."""

    values: Sequence[object]
    same: Callable[[Any, Any], bool]


def _judge_calls(worker: Worker, payload: dict[str, Any], expected: _Answers, limits: Limits) -> Judgement:
    calls = len(expected.values)
    room = _LONGER * _length(expected.values) + _A_CASE * calls + _SMALL_REPORT
    report = worker.run("function", [payload], limits, report_bytes=room)
    cpu = report.ends[0].cpu
    texts = _whole_lines(report.report)
    for index, value in enumerate(expected.values):
        text = next(texts, b"")
        # Not even read: once it is, a hostile line takes twenty times its length of memory.
        if len(text) > _SMALL_REPORT and len(text) > _LONGER * _length(value):
            return _failed(f"call {index + 1}: its result is larger than any right answer", cpu)
        line = _line(text)
        if line is None:
            return _cut_short(report, report.ends[0], limits, f"call {index + 1} of {calls}")
        if early := _not_loaded(line):
            return early
        if "raised" in line:
            return _failed(f"call {index + 1}: {line['raised']}", cpu)
        if line.keys() != {"value"} or not expected.same(value, line["value"]):
            return _failed(f"call {index + 1}: wrong result {json.dumps(line.get('value'))[:120]}", cpu)
    if _line(next(texts, b"")) != {"done": True} or next(texts, None) is not None:
        return _cut_short(report, report.ends[0], limits, "its last call")
    return Judgement(status=Status.PASS, cpu=cpu)


def _length(value: object) -> int:
    """How long a value is when it is written; Python writes no integer of more than 4300 digits, its form does."""
    try:
        return len(repr(value))
    except ValueError:
        return len(json.dumps(encode(value)))


def _judge_stdio(worker: Worker, check: StdioCheck, program: dict[str, Any], limits: Limits) -> Judgement:
    slowest = 0.0
    for index, (given, expected) in enumerate(zip(check.inputs, check.expected, strict=True)):
        room = 4 * len(expected.encode("utf-8", "surrogatepass")) + (1 << 16)
        payload = program | {"stdin": given}
        report = worker.run("stdio", [payload], limits, report_bytes=_SMALL_REPORT, output_bytes=room)
        end, where = report.ends[0], f"test {index + 1} of {len(check.inputs)}"
        slowest = max(slowest, end.cpu)
        line = (report_lines(report.report) or [{}])[0]
        if early := _not_loaded(line):
            return early
        if report.reason or end.code < 0:
            return _cut_short(report, end, limits, where)
        if end.code != 0:
            return _failed(f"{where}: exit status {end.code}", slowest)
        if not same_output(expected, report.output.decode("utf-8", "replace")):
            return _failed(f"{where}: wrong output", slowest)
    return Judgement(status=Status.PASS, cpu=slowest)


def _judge_suite(worker: Worker, check: AssertCheck, prompt: str, program: dict[str, Any], limits: Limits) -> Judgement:
    if not check.beside and (plain := literal_suite(check.test, check.entry_point)):
        payload = program | {"entry_point": check.entry_point, "inputs": plain.inputs}
        answers = _Answers(values=plain.expected, same=comparison("python"))
        return _judge_calls(worker, payload, answers, limits)
    token = secrets.token_hex(16)
    suite = {"entry_point": check.entry_point, "test": check.test, "preamble": _helpers(prompt), "token": token}
    if check.beside:
        report = worker.run("beside", [program | suite], limits, report_bytes=_SMALL_REPORT)
    else:
        payloads = [program | {"entry_point": check.entry_point}, suite]
        report = worker.run("assert", payloads, limits, report_bytes=_SMALL_REPORT)
    of_program, of_suite = report.ends[0], report.ends[-1]
    cpu = max(of_program.cpu, of_suite.cpu)
    lines = report_lines(report.report)
    line = lines[0] if lines else {}
    if line == {"token": token} and len(lines) == 1 and of_suite.code == 0:
        return Judgement(status=Status.PASS, cpu=cpu)
    if early := _not_loaded(line):
        return early
    if "raised" in line:
        return _failed(f"suite: {line['raised']}", cpu)
    ended = of_suite if _out_of_time(of_suite, limits) else of_program
    return _cut_short(report, ended, limits, "its suite was over")


def _helpers(prompt: str) -> str:
    """The prompt as code with its last function left open closed; empty when the prompt is prose.

    A suite may call helpers that the prompt defines (HumanEval 32, 38, 50).
    """
    for source in (prompt, prompt + "\n    pass\n"):
        try:
            compile(source, "<prompt>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return source
    return ""


def report_lines(report: bytes) -> list[dict[str, Any]]:
    """The report's complete lines up to the first that is not a JSON object."""
    found: list[dict[str, Any]] = []
    for text in _whole_lines(report):
        line = _line(text)
        if line is None:
            break
        found.append(line)
    return found


def _whole_lines(report: bytes) -> Iterator[bytes]:
    return (text for text in io.BytesIO(report) if text.endswith(b"\n"))


def _line(text: bytes) -> dict[str, Any] | None:
    """What a line of a report says; None when it is not a JSON object."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _not_loaded(line: dict[str, Any]) -> Judgement | None:
    if "syntax" in line:
        return Judgement(status=Status.SYNTAX, detail=one_line(line["syntax"]))
    if "load" in line:
        return _failed(f"while loading: {line['load']}")
    if "entry" in line:
        return _failed(f"entry point: {line['entry']}")
    return None


def _failed(detail: str, cpu: float = 0.0) -> Judgement:
    return Judgement(status=Status.FAIL, detail=one_line(detail), cpu=cpu)


def _out_of_time(end: End, limits: Limits) -> bool:
    # Ended by the kernel, whose limit is the second after ours; its clock ticks can run ahead of the time it reports.
    return end.code in (-signal.SIGKILL, -signal.SIGXCPU) and end.cpu >= 0.7 * limits.cpu_seconds


def _cut_short(report: Report, end: End, limits: Limits, where: str) -> Judgement:
    """What it means that the answer is incomplete."""
    if report.reason == "output":
        return _failed(f"before {where}: its output is larger than any right answer", end.cpu)
    if report.reason in ("cpu", "wall") or _out_of_time(end, limits):
        limit = f"{limits.wall_seconds:g} s" if report.reason == "wall" else f"{limits.cpu_seconds:g} s of CPU"
        return Judgement(status=Status.TIMEOUT, detail=f"before {where}: {limit} used up", again=True, cpu=end.cpu)
    if report.reason == "scratch":
        return Judgement(status=Status.CRASH, detail=f"before {where}: wrote more than {limits.scratch_mib} MiB")
    if end.killed:
        return Judgement(status=Status.CRASH, detail=f"before {where}: left without an answer", cpu=end.cpu)
    if end.code == -signal.SIGKILL:
        return Judgement(status=Status.CRASH, detail=f"before {where}: killed (out of memory)", again=True, cpu=end.cpu)
    how = f"signal {-end.code} ({signal.strsignal(-end.code)})" if end.code < 0 else f"exit status {end.code}"
    return Judgement(status=Status.CRASH, detail=f"before {where}: ended with {how}", cpu=end.cpu)


def one_line(text: object, length: int = 300) -> str:
    """Hostile text made harmless for a terminal and a log: printable, one line, bounded."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text)[:length]).strip()


def slowest_reference(worker: Worker, task: Task, limits: Limits) -> float:
    """Seconds of CPU that the task's reference needs; 0 when there is none or it does not pass."""
    if not task.reference:
        return 0.0
    found = judge(worker, task, task.reference, limits)
    return found.cpu if found.status is Status.PASS else 0.0


def weak_oracle_tasks(tasks: Sequence[Task]) -> int:
    """How many tasks are judged by a suite of assertions instead of by comparing values."""
    return sum(task.check is not None and task.check.weak_oracle for task in tasks)
