"""One program, one verdict: sends it to a sandbox worker with its inputs and judges what comes back.

The expected values stay in this process. A program is a `pass` only if every value it was asked for came back and is
equal to the expected one; what it writes beside that, and how it ends, can only lose.

    pass     every value equal; for a suite: it ran to its end
    fail     a wrong value, an exception, a missing entry point, output beyond any right answer, exit status not 0
    timeout  CPU time or wall time used up
    syntax   does not compile
    crash    ended without an answer: killed by a signal, left early, scratch overfull
"""

import functools
import io
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ssd_plugin.core.values import encode
from ssd_plugin.errors import DataError
from ssd_plugin.grading.compare import comparison, same_output
from ssd_plugin.grading.feedback import Feedback, FeedbackKind, PublicCase, of_error, shown, written, written_call
from ssd_plugin.grading.judgement import Asked, Judgement, cut_short, failed, one_line, out_of_time
from ssd_plugin.grading.literal_suite import literal_suite
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Report, Worker
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, Status, StdioCheck, Task

__all__ = [
    "Asked",
    "Judgement",
    "judge",
    "limits_for",
    "one_line",
    "program_of",
    "report_lines",
    "slowest_reference",
    "weak_oracle_tasks",
]

_SMALL_REPORT = 4096
_A_CASE = 512  # room for one case's error text
# A result equal to the expected one can be written longer (tags, digits), but not this much longer.
_LONGER = 16
# For tasks with a time limit of their own: all calls of a function task together, and the least address space.
_MOST_CALL_SECONDS, _ROOMY_MIB = 60.0, 4096
_PATIENCE, _PATIENT_SECONDS = 10.0, 60.0
_STATUS_ALONE = Asked()


def judge(worker: Worker, task: Task, program: str, limits: Limits, asked: Asked = _STATUS_ALONE) -> Judgement:
    """Run `program` against the task's check.

    Raises:
        SandboxError: the sandbox failed; nothing can be said about the program.
        DataError: the task has no check.
    """
    run = _Run(worker=worker, payload=program_of(task, program), limits=limits_for(task, limits), asked=asked)
    match task.check:
        case FunctionCheck() as check:
            answers = _Answers(check.entry_point, check.inputs, check.values, comparison(check.rule, check.atol))
            return _judge_calls(run, answers)
        case StdioCheck() as check:
            return _judge_stdio(run, check)
        case AssertCheck() as check:
            if not check.beside and (plain := literal_suite(check.test, check.entry_point)):
                return _judge_calls(
                    run, _Answers(check.entry_point, plain.inputs, plain.expected, comparison("python"))
                )
            return _judge_suite(run, check, task.prompt)
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


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A program on its way into a sandbox, and what is asked of its judgement."""

    worker: Worker
    payload: dict[str, Any]
    limits: Limits
    asked: Asked

    @property
    def program(self) -> str:
        return str(self.payload["program"])

    def wrong(self, case: PublicCase | None) -> Feedback:
        return Feedback(kind=FeedbackKind.WRONG_ANSWER if case else FeedbackKind.HIDDEN, case=case)

    def error(self, name: str, line: dict[str, Any], kind: FeedbackKind, case: PublicCase | None = None) -> Feedback:
        return of_error(kind, name, line, self.program, case, quote=self.asked.quote)


@dataclass(frozen=True)
class _Answers:
    """Calls with their arguments (JSON forms), what they must give, and when a result is the same."""

    entry_point: str
    inputs: Sequence[Sequence[Any]]
    values: Sequence[object]
    same: Callable[[Any, Any], bool]


def _judge_calls(run: _Run, answers: _Answers) -> Judgement:
    calls = len(answers.values)
    room = _LONGER * _length(answers.values) + _A_CASE * calls + _SMALL_REPORT
    payload = run.payload | {"entry_point": answers.entry_point, "inputs": answers.inputs}
    report = run.worker.run("function", [payload], run.limits, report_bytes=room)
    outcomes = _calls(run, answers, report)
    return _summed_up(outcomes, calls, report.ends[0].cpu, every_case=run.asked.every_case)


def _summed_up(outcomes: Iterator[Judgement | None], cases: int, cpu: float, *, every_case: bool) -> Judgement:
    """The first failure (or a pass), with how many cases passed; None is a case that did."""
    first, passed = None, 0
    for failure in outcomes:
        passed += failure is None
        first = first or failure
        if first and not every_case:
            break
    return replace(first or Judgement(status=Status.PASS, cpu=cpu), passed=passed, cases=cases)


def _calls(run: _Run, answers: _Answers, report: Report) -> Iterator[Judgement | None]:
    """What became of each call, up to the one at which the program ended, and whether it came to its end."""
    end, calls = report.ends[0], len(answers.values)
    texts = _whole_lines(report.report)
    for index, value in enumerate(answers.values):
        text, where = next(texts, b""), f"call {index + 1}"

        case = functools.partial(_case, run, answers, index)

        # Not even read: once it is, a hostile line takes twenty times its length of memory.
        if len(text) > _SMALL_REPORT and len(text) > _LONGER * _length(value):
            feedback = Feedback(kind=FeedbackKind.OUTPUT, case=case())
            yield failed(f"{where}: its result is larger than any right answer", feedback, end.cpu)
            continue
        line = _line(text)
        if line is None:
            yield cut_short(report, end, run.limits, f"{where} of {calls}", case())
            return
        if early := _not_loaded(run, line):
            yield early
            return
        if "raised" in line:
            feedback = run.error("raised", line, FeedbackKind.EXCEPTION, case())
            yield failed(f"{where}: {line['raised']}", feedback, end.cpu)
        elif line.keys() != {"value"} or not answers.same(value, line["value"]):
            feedback = run.wrong(case(line.get("value")))
            yield failed(f"{where}: wrong result {json.dumps(line.get('value'))[:120]}", feedback, end.cpu)
        else:
            yield None
    last = next(texts, b"")
    if not calls and (early := _not_loaded(run, _line(last) or {})):
        yield early
    elif _line(last) != {"done": True} or next(texts, None) is not None:
        yield cut_short(report, end, run.limits, "its last call")


_NOTHING = object()


def _case(run: _Run, answers: _Answers, at: int, output: Any = _NOTHING) -> PublicCase | None:
    """A call as feedback shows it, where it may."""
    if not run.asked.quote:
        return None
    given = written_call(answers.entry_point, answers.inputs[at])
    gave = "" if output is _NOTHING else written(output)
    return PublicCase(input=given, output=gave, expected=written(encode(answers.values[at])))


def _length(value: object) -> int:
    """How long a value is when it is written; Python writes no integer of more than 4300 digits, its form does."""
    try:
        return len(repr(value))
    except ValueError:
        return len(json.dumps(encode(value)))


def _judge_stdio(run: _Run, check: StdioCheck) -> Judgement:
    times = [0.0]
    found = _summed_up(_tests(run, check, times), len(check.inputs), 0.0, every_case=run.asked.every_case)
    return replace(found, cpu=max(times)) if found.status is Status.PASS else found


def _tests(run: _Run, check: StdioCheck, times: list[float]) -> Iterator[Judgement | None]:
    """What became of each test, up to one that used up a limit: those after it would too. `times`: seconds of CPU so far."""
    for index, (given, expected) in enumerate(zip(check.inputs, check.expected, strict=True)):
        room = 4 * len(expected.encode("utf-8", "surrogatepass")) + (1 << 16)
        payload = run.payload | {"stdin": given}
        report = run.worker.run("stdio", [payload], run.limits, report_bytes=_SMALL_REPORT, output_bytes=room)
        end, where = report.ends[0], f"test {index + 1} of {len(check.inputs)}"
        times.append(end.cpu)
        output = report.output.decode("utf-8", "replace")
        case = (
            PublicCase(input=shown(given), output=shown(output), expected=shown(expected)) if run.asked.quote else None
        )
        line = (report_lines(report.report) or [{}])[0]
        if early := _not_loaded(run, line, case):
            yield early
            if early.status is Status.SYNTAX:
                return
        elif report.reason or end.code < 0:
            yield cut_short(report, end, run.limits, where, case)
            return
        elif end.code != 0:
            yield failed(f"{where}: exit status {end.code}", Feedback(kind=FeedbackKind.CRASH, case=case), max(times))
        elif not same_output(expected, output):
            yield failed(f"{where}: wrong output", run.wrong(case), max(times))
        else:
            yield None


def _judge_suite(run: _Run, check: AssertCheck, prompt: str) -> Judgement:
    token = secrets.token_hex(16)
    suite = {"entry_point": check.entry_point, "test": check.test, "preamble": _helpers(prompt), "token": token}
    if check.beside:
        report = run.worker.run("beside", [run.payload | suite], run.limits, report_bytes=_SMALL_REPORT)
    else:
        payloads = [run.payload | {"entry_point": check.entry_point}, suite]
        report = run.worker.run("assert", payloads, run.limits, report_bytes=_SMALL_REPORT)
    of_program, of_suite = report.ends[0], report.ends[-1]
    cpu = max(of_program.cpu, of_suite.cpu)
    lines = report_lines(report.report)
    line = lines[0] if lines else {}
    if line == {"token": token} and len(lines) == 1 and of_suite.code == 0:
        return Judgement(status=Status.PASS, cpu=cpu, passed=1, cases=1)
    if early := _not_loaded(run, line):
        return replace(early, cases=1)
    if "raised" in line:
        # An error without a line of the program is the suite's own: an assertion.
        feedback = run.error("raised", line, FeedbackKind.EXCEPTION) if "line" in line else run.wrong(None)
        return replace(failed(f"suite: {line['raised']}", feedback, cpu), cases=1)
    ended = of_suite if out_of_time(of_suite, run.limits) else of_program
    return replace(cut_short(report, ended, run.limits, "its suite was over"), cases=1)


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


def _not_loaded(run: _Run, line: dict[str, Any], case: PublicCase | None = None) -> Judgement | None:
    if "syntax" in line:
        feedback = run.error("syntax", line, FeedbackKind.SYNTAX)
        return Judgement(status=Status.SYNTAX, detail=one_line(line["syntax"]), feedback=feedback)
    if "load" in line:
        return failed(f"while loading: {line['load']}", run.error("load", line, FeedbackKind.EXCEPTION, case))
    if "entry" in line:
        return failed(f"entry point: {line['entry']}", run.error("entry", line, FeedbackKind.MISSING))
    return None


def slowest_reference(worker: Worker, task: Task, limits: Limits) -> float:
    """Seconds of CPU that the task's reference needs; 0 when there is none or it does not pass."""
    if not task.reference:
        return 0.0
    found = judge(worker, task, task.reference, limits)
    return found.cpu if found.status is Status.PASS else 0.0


def weak_oracle_tasks(tasks: Sequence[Task]) -> int:
    """How many tasks are judged by a suite of assertions instead of by comparing values."""
    return sum(task.check is not None and task.check.weak_oracle for task in tasks)
