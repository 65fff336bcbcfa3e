"""`Grader`: batches on one pool, threads, forks and other processes, and what a judgement tells of a program."""

import gc
import json
import multiprocessing
import pickle
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssd_plugin.errors import DataError, SandboxError
from ssd_plugin.grading import in_memory
from ssd_plugin.grading.feedback import FeedbackKind
from ssd_plugin.grading.in_memory import GradeOptions, Grader, Judged
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.tasks.schema import AssertCheck, Check, FunctionCheck, Sample, Status, StdioCheck, Task

SHORT = GradeOptions(workers=2, limits=Limits(cpu_seconds=1.0))
ADD = Task(
    task_id="add",
    prompt="Write add(a, b).\n\n>>> add(1, 2)\n3\n",
    check=FunctionCheck(entry_point="add", inputs=((1, 2), (30, 40)), expected=(3, 70)),
)
ECHO = Task(
    task_id="echo",
    prompt="Print the line.",
    check=StdioCheck(inputs=("shown\n", "hidden\n"), expected=("shown\n", "hidden\n")),
    public_cases=1,
)
SUITE = Task(
    task_id="suite",
    prompt="Write f(x).",
    check=AssertCheck(
        entry_point="f", test="def check(candidate):\n    found = candidate(5)\n    assert found == 10, found\n"
    ),
)
RIGHT = "def add(a, b): return a + b\n"


# All four values in the report, but not from calls that came back.
FORGED = """
import os
def f(x):
    if x == 4:
        os.write(3, b'{"value": 4}\\n')
        os._exit(0)
    return x
"""


def sample(completion: str, task: Task = ADD, number: int = 0, finish_reason: str = "stop") -> Sample:
    return Sample(task_id=task.task_id, sample_id=str(number), completion=completion, finish_reason=finish_reason)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader([ADD, ECHO, SUITE], SHORT, feedback=True) as opened:
        yield opened


def graded(grader: Grader, *samples: Sample) -> list[Judged]:
    return sorted(grader.grade(samples), key=lambda judged: judged.number)


def statuses(grader: Grader, *samples: Sample) -> list[str]:
    return [judged.judgement.status.value for judged in graded(grader, *samples)]


def test_batches_share_a_pool_and_each_gives_its_own_judgements(grader: Grader) -> None:
    pool = grader.open().pool
    assert statuses(grader, sample(RIGHT), sample("no code here")) == ["pass", "no_code"]
    assert statuses(grader, sample("while True: pass"), sample(RIGHT)) == ["timeout", "pass"]
    assert grader.open().pool is pool
    assert grader.open().canaries > 45
    assert statuses(grader) == []


def test_samples_are_taken_only_as_fast_as_they_are_graded(grader: Grader) -> None:
    taken: list[int] = []

    def stream() -> Iterator[Sample]:
        for number in range(50):
            taken.append(number)
            yield sample(RIGHT, number=number)

    judgements = grader.grade(stream())
    next(judgements)
    assert len(taken) <= 5
    assert len(list(judgements)) == 49


def test_a_batch_that_is_left_does_not_reach_into_the_next(grader: Grader) -> None:
    left = grader.grade(sample("def add(a, b): return 0", number=number) for number in range(9))
    next(left)
    left.close()
    assert statuses(grader, *[sample(RIGHT)] * 9) == ["pass"] * 9


def test_threads_get_their_own_judgements(grader: Grader) -> None:
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        wrong = f"def add(a, b): return {number}"
        found[number] = [
            f"{judged.sample.sample_id} {judged.judgement.status}"
            for judged in graded(grader, *(sample(RIGHT if at % 2 else wrong, number=number) for at in range(20)))
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(100, 106)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [f"{number} fail", f"{number} pass"] * 10 for number in range(100, 106)}


def _child(grader: Grader, out: Path) -> None:
    out.write_text(json.dumps(statuses(grader, sample(RIGHT), sample("def add(a, b): return 1"))))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_another_process_has_sandboxes_of_its_own(grader: Grader, tmp_path: Path, start: str) -> None:
    pool = grader.open().pool
    process = multiprocessing.get_context(start).Process(target=_child, args=(grader, tmp_path / "found"))  # type: ignore[attr-defined]
    process.start()
    process.join()
    assert process.exitcode == 0
    assert json.loads((tmp_path / "found").read_text()) == ["pass", "fail"]
    assert grader.open().pool is pool
    assert statuses(grader, sample(RIGHT)) == ["pass"]


def test_one_that_is_sent_elsewhere_takes_its_tasks_and_options_along() -> None:
    sent = pickle.loads(pickle.dumps(Grader([ADD], SHORT, feedback=True, every_case=True)))
    assert sent.options == SHORT
    with pytest.raises(DataError, match="two different tasks have the id 'add'"):
        sent.add([Task(task_id="add", prompt="Another.", check=ADD.check)])


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory of our own, which the sandbox's user can walk through."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_nothing_is_left_when_it_is_closed_or_forgotten(places: Path) -> None:
    with Grader([ADD], SHORT) as opened:
        assert statuses(opened, sample(RIGHT)) == ["pass"]
        assert len(list(places.iterdir())) == 2
    assert list(places.iterdir()) == []
    dropped = Grader([ADD], SHORT)
    dropped.open()
    assert len(list(places.iterdir())) == 2
    del dropped
    gc.collect()
    assert list(places.iterdir()) == []


def test_closing_ends_what_another_thread_waits_for() -> None:
    opened, begun, failures = Grader([ADD], SHORT), threading.Event(), []

    def stream() -> Iterator[Sample]:
        for number in range(20):
            yield sample("import time\ntime.sleep(60)", number=number)
            begun.set()  # the one before is with the workers

    def work() -> None:
        with pytest.raises(SandboxError) as found:
            list(opened.grade(stream()))
        failures.append(str(found.value))

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    opened.close()
    thread.join(60)
    assert len(failures) == 1


def test_a_misjudged_canary_stops_everything(monkeypatch: pytest.MonkeyPatch, places: Path) -> None:
    def misjudged(*_: object) -> int:
        raise SandboxError("canary 'x' was judged pass")

    monkeypatch.setattr(in_memory, "run_canaries", misjudged)
    grader = Grader([ADD], SHORT)
    for _ in range(2):
        with pytest.raises(SandboxError, match="canary 'x'"):
            next(grader.grade([sample(RIGHT)]))
    assert list(places.iterdir()) == []


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(task_id="t", prompt="p"), "task 't' has no tests"),
        (Task(task_id="t", prompt="p", check=ADD.check, prelude="def"), "task 't' has a prelude that does not compile"),
        (
            Task(
                task_id="t",
                prompt="p",
                check=FunctionCheck(entry_point="f", inputs=(({"$no": 1},),), expected=(1,)),
            ),
            "task 't' has inputs or expected values that are no value",
        ),
        (Task(task_id="add", prompt="p", check=ADD.check), "two different tasks have the id 'add'"),
    ],
)
def test_tasks_that_cannot_be_graded_are_refused(grader: Grader, task: Task, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Grader([ADD, task])
    with pytest.raises(DataError, match=message):
        grader.add([task])
    assert statuses(grader, sample(RIGHT)) == ["pass"]


def test_a_sample_of_an_unknown_task_is_refused(grader: Grader) -> None:
    with pytest.raises(DataError, match="sample '0' is for task 'other', which is not there"):
        list(grader.grade([Sample(task_id="other", sample_id="0", completion=RIGHT)]))


def test_tasks_are_made_ready_when_they_are_added(grader: Grader) -> None:
    nothing = Task(task_id="nothing", prompt="", check=AssertCheck(entry_point="f", test="def check(c):\n    c(1)\n"))
    broken = Task(
        task_id="broken",
        prompt="",
        published=True,
        reference="def f(x): raise ValueError\n",
        check=FunctionCheck(entry_point="f", inputs=((1,),), expected=()),
    )
    more = Task(task_id="more", prompt="", check=ADD.check)
    grader.add([nothing, broken, more])
    assert statuses(grader, sample("def f(x): pass", nothing), sample("def f(x): pass", broken)) == ["infra"] * 2
    assert statuses(grader, sample(RIGHT, more)) == ["pass"]
    assert "does not fail a program" in grader.unproven["nothing"]
    assert "its reference does not give a value" in grader.set_aside["broken"]


@pytest.mark.parametrize(
    ("completion", "task", "kind", "error", "line", "case"),
    [
        ("def add(a, b):\n    x = 1\n    return a / 0", ADD, "exception", "ZeroDivisionError", 3, ("add(1, 2)", "", "3")),
        ("def add(a, b): return [a, (b, 'x')]", ADD, "wrong answer", "", 0, ("add(1, 2)", "[1, (2, 'x')]", "3")),
        ("def add(a, b): return 3", ADD, "wrong answer to a hidden test", "", 0, None),
        (
            "def add(a, b):\n    if a > 9:\n        raise KeyError(a)\n    return 3",
            ADD,
            "exception",
            "KeyError",
            3,
            None,
        ),
        ("def add(a, b):\n    while True: pass", ADD, "timeout", "", 0, ("add(1, 2)", "", "3")),
        ("import os\ndef add(a, b): os._exit(3)", ADD, "crash", "", 0, ("add(1, 2)", "", "3")),
        ("def sub(a, b): pass", ADD, "entry point missing", "KeyError", 0, None),
        ("x = 1\nraise RuntimeError('at once')", ADD, "exception", "RuntimeError", 2, None),
        ("```python\ndef add(a, b):\n    return (\n```", ADD, "syntax error", "SyntaxError", 2, None),
        ("I cannot.", ADD, "no code", "", 0, None),
        ("def add(a, b): return 'x' * 100_000", ADD, "more output than any right answer", "", 0, ("add(1, 2)", "", "3")),
        ("print('x')", ECHO, "wrong answer", "", 0, ("shown\n", "x\n", "shown\n")),
        ("s = input()\nprint(s)\nassert s == 'shown'", ECHO, "exception", "AssertionError", 3, None),
        ("print('shown')", ECHO, "wrong answer to a hidden test", "", 0, None),
        ("def f(x): return x", SUITE, "wrong answer to a hidden test", "", 0, None),
        ("def f(x):\n    return [][x]", SUITE, "exception", "IndexError", 2, None),
    ],
)  # fmt: skip
def test_what_a_model_is_told(
    grader: Grader,
    completion: str,
    task: Task,
    kind: str,
    error: str,
    line: int,
    case: tuple[str, str, str] | None,
) -> None:
    (judged,) = graded(grader, sample(completion, task))
    feedback = judged.judgement.feedback
    assert feedback is not None
    assert (feedback.kind.value, feedback.error, feedback.line) == (kind, error, line)
    assert (feedback.case and (feedback.case.input, feedback.case.output, feedback.case.expected)) == case
    assert len(feedback.text()) < 2500
    assert all(letter.isprintable() or letter == "\n" for letter in feedback.text())


def test_an_answer_that_was_cut_off_is_told_so(grader: Grader) -> None:
    cut = "```python\ndef add(a, b):\n    return (a +"
    kinds = [
        judged.judgement.feedback.kind
        for judged in graded(
            grader,
            sample(cut, finish_reason="length"),
            sample("Let me think", finish_reason="length"),
            sample("```python\ndef add(a, b): return 0\n```\nThis", finish_reason="length"),
        )
        if judged.judgement.feedback
    ]
    assert kinds == [FeedbackKind.CUT_OFF, FeedbackKind.CUT_OFF, FeedbackKind.WRONG_ANSWER]
    (right,) = graded(grader, sample(f"```python\n{RIGHT}```\nThis", finish_reason="length"))
    assert (right.judgement.status, right.judgement.feedback) == (Status.PASS, None)


def test_the_share_of_cases_that_passed() -> None:
    four: Check = FunctionCheck(entry_point="f", inputs=((1,), (2,), (3,), (4,)), expected=(1, 2, 3, 4))
    lines: Check = StdioCheck(inputs=("1", "2", "3", "4"), expected=("1", "2", "3", "4"))
    function, stdio = Task(task_id="f", prompt="", check=four), Task(task_id="s", prompt="", check=lines)
    programs = {
        "def f(x): return x": (1.0, function),
        "def f(x): return 1": (0.25, function),
        "def f(x): return x if x != 1 else 0": (0.75, function),
        "def f(x):\n    if x == 3: raise ValueError\n    return x": (0.75, function),
        "import os\ndef f(x):\n    if x == 3: os._exit(0)\n    return x": (0.5, function),
        "def f(x):\n    while x == 2: pass\n    return x": (0.25, function),
        FORGED: (0.75, function),
        "def g(x): return x": (0.0, function),
        "print(input())": (1.0, stdio),
        "x = input()\nprint(0 if x == '1' else x)": (0.75, stdio),
        "x = input()\nif x == '2': raise ValueError\nprint(x)": (0.75, stdio),
        "x = input()\nwhile x == '2': pass\nprint(x)": (0.25, stdio),
        "def f(x): return x + x": (0.0, SUITE),
    }
    with Grader([function, stdio, SUITE], SHORT, every_case=True) as grader:
        found = graded(grader, *(sample(program, task) for program, (_, task) in programs.items()))
    shares = [judged.judgement.share for judged in found]
    assert shares[:-1] == [share for share, _ in programs.values()][:-1]
    assert shares[-1] == 1.0


def test_second_tries_beside_others_only_where_the_task_is_slow() -> None:
    slow = "def add(a, b):\n    for _ in range({}): pass\n    return a + b\n"
    check = FunctionCheck(entry_point="add", inputs=((1, 2),), expected=(3,))
    tasks = [
        Task(task_id="slow", prompt="", check=check, reference=slow.format(20_000_000)),
        Task(task_id="quick", prompt="", check=check, reference=RIGHT),
    ]
    options = GradeOptions(limits=Limits(cpu_seconds=1.0), cpu_multiple=40.0, retry_alone=False)
    with Grader(tasks, options) as grader:
        samples = [sample(slow.format(150_000_000), task, number) for number in range(2) for task in tasks]
        found = graded(grader, *samples)
    assert [judged.judgement.status for judged in found] == ["pass", "timeout"] * 2
