"""A published set loads whole: what is broken in it is set aside by id, and its references end in a verdict."""

import json
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.cli.main import main
from ssd_plugin.errors import DataError
from ssd_plugin.grading.grader import score_file
from ssd_plugin.grading.result_files import read_graded, write_sidecar
from ssd_plugin.tasks.benchmarks import load_tasks, named_file
from ssd_plugin.tasks.schema import AssertCheck, FunctionCheck, task_from_json

GOOD = {
    "task_id": "HumanEval/1",
    "prompt": "def twice(x):\n",
    "entry_point": "twice",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
}
PLUS = GOOD | {"task_id": "Mbpp/9001", "base_input": [[1], [2]], "plus_input": [[3]], "atol": 0, "contract": ""}
FAILING = GOOD | {"task_id": "HumanEval/32", "test": "def check(candidate):\n    assert candidate(2) == 5\n"}
RAISING = PLUS | {"task_id": "Mbpp/9002", "canonical_solution": "    return 1 // (x - 3)\n"}
HUGE = PLUS | {"task_id": "Mbpp/9003", "canonical_solution": "    return 'x' * 10**6\n"}
HUGE_ONCE = HUGE | {"canonical_solution": "    return 'x' * 10**6 if x == 3 else x\n"}
LONG = PLUS | {"task_id": "HumanEval/9005", "canonical_solution": "    return 10 ** (5000 * x)\n"}
EMPTY = PLUS | {"task_id": "Mbpp/9004", "base_input": [], "plus_input": {}}
BIG = {
    "task_id": "BigCodeBench/0",
    "complete_prompt": "import math\ndef task_func(x):\n",
    "instruct_prompt": "Write task_func.",
    "canonical_solution": "    return math.floor(x)\n",
    "test": "def check(candidate):\n    assert candidate(1.5) == 1\n",
    "entry_point": "task_func",
    "libs": "['math']",
}
NO_LIBRARY = BIG | {"task_id": "BigCodeBench/1", "complete_prompt": "import no_such_library\ndef task_func(x):\n"}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(path: Path, tasks: Path, name: str, layout: str = "") -> Path:
    samples = [(task, f"{name}{number}") for number in range(2) for task in load_tasks(tasks)]
    return write(
        path, *({"task_id": t.task_id, "sample_id": s, "completion": t.reference + layout} for t, s in samples)
    )


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (FAILING, "its own reference fails"),
        (RAISING, "does not give a value for each input"),
        (HUGE, "a result that can be carried for no input"),
        (EMPTY, "it has no inputs"),
        (NO_LIBRARY, "No module named 'no_such_library'"),
    ],
    ids=["failing", "raising", "huge", "empty", "library"],
)
def test_what_a_published_set_has_broken_is_set_aside_with_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], why: str
) -> None:
    monkeypatch.setattr("ssd_plugin.grading.reference_values._REPORT_BYTES", 1 << 17)
    tasks = write(tmp_path / "t.jsonl", GOOD, PLUS, row, BIG)
    summary = score_file(tasks, answers(tmp_path / "s.jsonl", tasks, "s"), tmp_path / "out.jsonl")
    assert summary.set_aside.keys() == {row["task_id"]}
    assert why in summary.set_aside[row["task_id"]]
    assert (summary.tasks, summary.samples, summary.counts["pass"]) == (3, 6, 6)
    graded = read_graded(tmp_path / "out.jsonl")
    assert graded.meta["set_aside"] == summary.set_aside
    assert row["task_id"] not in {result.task_id for result in graded.rows}
    only = write(tmp_path / "only.jsonl", row)
    with pytest.raises(DataError, match=rf"all 1 tasks are broken here; '{row['task_id']}': .*{why}"):
        score_file(only, answers(tmp_path / "o.jsonl", only, "s"), tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


def test_an_input_without_a_result_that_can_be_carried_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssd_plugin.grading.reference_values._REPORT_BYTES", 1 << 17)
    tasks = write(tmp_path / "t.jsonl", HUGE_ONCE)
    summary = score_file(tasks, answers(tmp_path / "s.jsonl", tasks, "s"), tmp_path / "out.jsonl")
    assert (summary.set_aside, summary.counts["pass"]) == ({}, 2)
    said = "1 of 3 inputs left out, the reference's result is too large"
    assert read_graded(tmp_path / "out.jsonl").meta["inputs_left_out"] == {"Mbpp/9003": said}
    assert f"Mbpp/9003: {said}" in summary.tier_notes


def test_integers_of_any_length_are_expected_values(tmp_path: Path) -> None:
    tasks = write(tmp_path / "t.jsonl", LONG)
    summary = score_file(tasks, answers(tmp_path / "s.jsonl", tasks, "s"), tmp_path / "out.jsonl")
    assert (summary.set_aside, summary.counts["pass"]) == ({}, 2)


def test_a_task_file_of_ones_own_is_never_set_aside(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", FAILING))
    own = write(tmp_path / "own.jsonl", {key: value for key, value in task.to_json().items() if key != "published"})
    summary = score_file(own, answers(tmp_path / "s.jsonl", own, "s"), tmp_path / "out.jsonl")
    assert (summary.set_aside, summary.counts["fail"]) == ({}, 2)


def gate(folder: Path, tasks: str, path: Path) -> tuple[int, dict[str, Any]]:
    command = ["gate", "--policy", "smoke", "--tasks", tasks, "--out", str(folder / "v"), "--ledger", str(folder / "l")]
    command += ["--baseline", str(answers(folder / "a.jsonl", path, "a"))]
    command += ["--candidate", str(answers(folder / "b.jsonl", path, "c", "\n# the same\n"))]
    with pytest.raises(SystemExit) as ended:
        main(command)
    code = ended.value.code
    assert isinstance(code, int)
    return code, json.loads((folder / "v" / "verdict.json").read_text())


def integrity(verdict: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = verdict["gates"][0]["result"]
    assert "integrity" in json.dumps(verdict["gates"][0])
    return found


def test_references_against_themselves_end_in_a_verdict(tmp_path: Path) -> None:
    rows = [GOOD | {"task_id": f"HumanEval/{number}"} for number in range(40, 90)]
    path = write(tmp_path / "t.jsonl", *rows, FAILING)
    code, verdict = gate(tmp_path, f"humaneval:{path}", path)
    assert code in (0, 2)
    assert integrity(verdict)["status"] == "pass"
    assert "1 tasks set aside, broken as they are published (HumanEval/32: its own" in integrity(verdict)["reason"]


def test_a_set_that_is_mostly_broken_here_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", GOOD, *(FAILING | {"task_id": f"HumanEval/{n}"} for n in range(40, 45)))
    code, verdict = gate(tmp_path, str(path), path)
    assert code == 3
    assert "5 of 6 tasks are broken here" in integrity(verdict)["reason"]


def test_a_side_cannot_leave_out_what_is_not_broken(tmp_path: Path) -> None:
    tasks = write(tmp_path / "t.jsonl", GOOD, PLUS)
    score_file(tasks, answers(tmp_path / "s.jsonl", tasks, "s"), tmp_path / "out.jsonl")
    meta = {**read_graded(tmp_path / "out.jsonl").meta, "set_aside": {"HumanEval/1": "its own fails"}}
    del meta["authentication"]
    write_sidecar(tmp_path / "out.jsonl", meta)  # as this user's grader would: any other is not believed
    command = ["gate", "--policy", "smoke", "--tasks", str(tasks), "--out", str(tmp_path / "v"), "--ledger"]
    command += [
        str(tmp_path / "l"),
        "--baseline",
        str(tmp_path / "out.jsonl"),
        "--candidate",
        str(tmp_path / "out.jsonl"),
    ]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 3
    reason = integrity(json.loads((tmp_path / "v" / "verdict.json").read_text()))["reason"]
    assert "baseline leaves out 'HumanEval/1'" in reason


def test_rows_come_through_whole(tmp_path: Path) -> None:
    plus, big = load_tasks(write(tmp_path / "t.jsonl", PLUS | {"plus_input": {}}, BIG))
    assert plus.check == FunctionCheck(entry_point="twice", inputs=((1,), (2,)), expected=(), rule="evalplus")
    assert isinstance(big.check, AssertCheck)
    assert (big.domain, big.reference) == ("bigcodebench", BIG["complete_prompt"] + BIG["canonical_solution"])
    assert [task_from_json(json.loads(json.dumps(task.to_json()))) for task in (plus, big)] == [plus, big]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (
            {"task_id": "CPP/0", "prompt": "p", "declaration": "d", "canonical_solution": "c", "example_test": ""},
            "HumanEval-X",
        ),
        (GOOD | {"task_id": "Rust/0", "declaration": "d", "buggy_solution": "c"}, "HumanEvalPack"),
        ({"name": "HumanEval_0", "language": "lua", "prompt": "p", "tests": "t", "stop_tokens": []}, "MultiPL-E"),
        ({"instance_id": "a__b-1", "repo": "a/b", "base_commit": "0", "problem_statement": "p"}, "SWE-bench"),
    ],
)
def test_what_runs_more_than_python_is_named_and_refused(tmp_path: Path, row: dict[str, Any], name: str) -> None:
    with pytest.raises(DataError, match=rf"t\.jsonl:1: {name} is not graded here.*`benchmarks` gate"):
        load_tasks(write(tmp_path / "t.jsonl", row))


def test_a_name_before_a_file_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", GOOD)
    for name in ("humaneval", "humaneval+", "humanevalplus"):
        assert named_file(f"{name}:{path}") == path
    for name in ("mbpp", "mbppplus", "livecodebench", "bigcodebench"):
        with pytest.raises(DataError, match=f"holds a task of humaneval, not of {name}"):
            named_file(f"{name}:{path}")
    assert named_file("livecodebench-v6:2025-02-01:2025-05-31") is None
