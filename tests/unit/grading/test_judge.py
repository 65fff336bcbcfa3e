"""The judge against a worker that reports anything: only the right values, all of them, are a pass."""

import json
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssd_plugin.errors import DataError
from ssd_plugin.grading.judge import judge, limits_for, one_line
from ssd_plugin.grading.reference_trial import tried
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import End, Report
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Status, StdioCheck, Task

LIMITS = Limits()
FUNCTION = FunctionCheck(entry_point="f", inputs=((1,), (2,)), expected=(3, 4))
RIGHT = b'{"value": 3}\n{"value": 4}\n{"done": true}\n'


def end(code: int = 0, cpu: float = 0.01, killed: bool = False) -> End:
    return End(status=-code if code < 0 else code << 8, cpu=cpu, memory_kib=1, killed=killed)


class Reports:
    """Stands in for a worker; keeps what it was sent."""

    def __init__(self, report: bytes = b"", output: bytes = b"", reason: str = "", *ends: End) -> None:
        self.answer = Report(report=report, output=output, ends=ends or (end(),), reason=reason)
        self.sent: list[dict[str, Any]] = []

    def run(self, kind: str, payloads: list[dict[str, Any]], limits: Limits, **room: int) -> Report:
        self.sent += payloads
        return self.answer


def status(check: Check, worker: Reports) -> Status:
    return judge(worker, Task(task_id="t", prompt="", check=check), "program", LIMITS).status  # type: ignore[arg-type]


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b'{"value": 3}', b'{"value": 4}', b'{"done": true}', b"[]", b"{}", b"1e999"])).map(
        b"\n".join
    )
)
def test_only_the_right_report_passes(report: bytes) -> None:
    found = status(FUNCTION, Reports(report))
    assert (found is Status.PASS) == (whole_lines(report) == whole_lines(RIGHT))


def whole_lines(report: bytes) -> list[Any] | None:
    """What the complete lines of a report say; None when one of them is not JSON."""
    try:
        return [json.loads(line) for line in report.split(b"\n")[:-1]]
    except (ValueError, RecursionError):
        return None


def test_a_line_far_longer_than_its_right_answer_is_not_even_read() -> None:
    task = Task(
        task_id="t", prompt="", check=FunctionCheck(entry_point="f", inputs=((), ()), expected=("a" * 9000, []))
    )
    for first, second, found in (
        ("a" * 9000, [], Status.PASS),
        ([[]] * 9000, [], Status.FAIL),
        ("a" * 9000, [[]] * 9000, Status.FAIL),
    ):
        lines = ({"value": first}, {"value": second}, {"done": True})
        report = "".join(json.dumps(line) + "\n" for line in lines).encode()
        judgement = judge(Reports(report), task, "", LIMITS)  # type: ignore[arg-type]
        assert judgement.status is found
    assert judgement.detail == "call 2: its result is larger than any right answer"


@pytest.mark.parametrize("report", [RIGHT, RIGHT.replace(b" ", b""), RIGHT + b"{", RIGHT.replace(b"3", b"3.0")])
def test_only_what_the_lines_say_counts(report: bytes) -> None:
    assert status(FUNCTION, Reports(report)) is Status.PASS


@pytest.mark.parametrize(
    "report",
    [RIGHT[:-1], RIGHT + b"{}\n", RIGHT.replace(b'"value": 3', b'"value": 3, "x": 1'), b"\n" + RIGHT, RIGHT + RIGHT],
)
def test_nearly_right_reports_lose(report: bytes) -> None:
    assert status(FUNCTION, Reports(report)) is not Status.PASS


@given(
    st.binary(max_size=100), st.sampled_from(["", "wall", "output", "scratch"]), st.integers(-31, 255), st.booleans()
)
def test_nothing_hostile_raises(report: bytes, reason: str, code: int, killed: bool) -> None:
    for check in (FUNCTION, StdioCheck(inputs=("x",), expected=("y",)), AssertCheck(entry_point="f", test="")):
        found = status(check, Reports(report, report, reason, end(code, killed=killed), end()))
        assert found not in (Status.PASS, Status.INFRA, Status.NO_CODE)


def test_right_report() -> None:
    assert status(FUNCTION, Reports(RIGHT)) is Status.PASS


def test_expected_values_are_not_sent() -> None:
    secrets = ("needle-in-a-list", "needle-in-a-line")
    for check in (
        FunctionCheck(entry_point="f", inputs=((1,),), expected=(secrets[0],)),
        StdioCheck(inputs=("1",), expected=(secrets[1],)),
    ):
        worker = Reports()
        status(check, worker)
        assert worker.sent
        assert not any(secret in json.dumps(worker.sent) for secret in secrets)


def test_the_program_of_a_suite_is_sent_neither_test_nor_token() -> None:
    worker = Reports(b"", b"", "", end(), end())
    status(AssertCheck(entry_point="f", test="needle"), worker)
    program, suite = worker.sent
    assert program.keys() == {"program", "entry_point"}
    assert suite["token"] not in json.dumps(program)


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        (Reports(b'{"syntax": "x"}\n'), Status.SYNTAX),
        (Reports(b'{"load": "x"}\n'), Status.FAIL),
        (Reports(b'{"value": 3}\n{"value": 5}\n', b"", "wall"), Status.FAIL),
        (Reports(b'{"value": 3}\n', b"", "wall"), Status.TIMEOUT),
        (Reports(b'{"value": 3}\n', b"", "", end(-signal.SIGKILL, cpu=2.0)), Status.TIMEOUT),
        (Reports(b'{"value": 3}\n', b"", "", end(-signal.SIGXCPU, cpu=2.0)), Status.TIMEOUT),
        (Reports(b'{"value": 3}\n', b"", "", end(-signal.SIGKILL)), Status.CRASH),
        (Reports(b'{"value": 3}\n', b"", "", end(-signal.SIGSEGV)), Status.CRASH),
        (Reports(b'{"value": 3}\n', b"", "scratch"), Status.CRASH),
        (Reports(b'{"value": 3}\n', b"", "output"), Status.FAIL),
        (Reports(b'{"value": 3}\n{"value": 4}\n'), Status.CRASH),
    ],
)
def test_statuses(worker: Reports, expected: Status) -> None:
    assert status(FUNCTION, worker) is expected


def test_no_text_of_a_program_gives_it_a_second_try() -> None:
    worker = Reports(b'{"raised": "RuntimeError: can\'t start new thread"}\n')
    assert not judge(worker, Task(task_id="t", prompt="", check=FUNCTION), "p", LIMITS).again  # type: ignore[arg-type]


def test_hostile_text_is_shown_harmless() -> None:
    assert one_line("a\x1b[31m\nb\u202e" + "c" * 999) == "a [31m b " + "c" * 291


def test_a_prompt_too_deep_to_compile_has_no_helpers() -> None:
    task = Task(task_id="t", prompt="x = a" + ".a" * 50_000, check=AssertCheck(entry_point="f", test="assert f() is f"))
    assert judge(Reports(b"", b"", "", end(), end()), task, "p", LIMITS).status is Status.CRASH  # type: ignore[arg-type]


def test_a_prelude_is_sent_beside_the_program() -> None:
    for check in (
        FUNCTION,
        StdioCheck(inputs=("x",), expected=("y",)),
        AssertCheck(entry_point="f", test="assert f() is f"),
    ):
        worker = Reports(b"", b"", "", end(), end())
        judge(worker, Task(task_id="t", prompt="", check=check, prelude="import os"), "p", LIMITS)  # type: ignore[arg-type]
        assert (worker.sent[0]["program"], worker.sent[0]["prelude"]) == ("p", "import os")


def test_a_tasks_own_seconds_never_lower_a_limit() -> None:
    stdio = Task(task_id="t", prompt="", check=StdioCheck(inputs=("x",) * 9, expected=("y",) * 9), seconds_per_test=6)
    assert limits_for(stdio, Limits()) == Limits(cpu_seconds=6, wall_seconds=12, memory_mib=4096)
    generous = Limits(cpu_seconds=9, wall_seconds=99, memory_mib=9999)
    assert limits_for(stdio, generous) == generous
    for calls, seconds in ((2, 12), (3, 18), (99, 60)):
        check = FunctionCheck(entry_point="f", inputs=((1,),) * calls, expected=(1,) * calls)
        found = limits_for(Task(task_id="t", prompt="", check=check, seconds_per_test=6), Limits())
        assert (found.cpu_seconds, found.wall_seconds) == (seconds, 2 * seconds)
    assert limits_for(Task(task_id="t", prompt="", check=FUNCTION), LIMITS) is LIMITS


class OnePool:
    """Runs each job on the worker it was given."""

    def __init__(self, worker: Reports) -> None:
        self.worker = worker

    def run(self, jobs: Iterable[tuple[str, Callable[[Any], Any]]]) -> Iterator[tuple[str, Any]]:
        return ((key, job(self.worker)) for key, job in jobs)


@pytest.mark.parametrize("report", [b'{"value": 3}\n{"val', b"3\n4\n{}\n", b"", b"\xff\n"])
def test_a_reference_that_is_cut_short_is_named(report: bytes) -> None:
    task = Task(
        task_id="t", prompt="", check=FunctionCheck(entry_point="f", inputs=((1,), (2,)), expected=()), reference="p"
    )
    with pytest.raises(DataError, match="'t': its reference does not give a value for each input"):
        tried(OnePool(Reports(report)), [task], LIMITS)  # type: ignore[arg-type]
