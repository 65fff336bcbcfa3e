"""The `tests` gate with real pytest suites: only a report in which every test that ran passed is a PASS."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.gates import tests as gate
from ssd_plugin.gating.gate import GateContext, Side
from ssd_plugin.gating.isolation import Job, one_result, run_apart
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.verdict import GateResult, GateStatus
from ssd_plugin.tasks.schema import FunctionCheck, Result, Status, Task, read_results

PASSING = "def test_fine():\n    assert True\n"
READS_THE_CANDIDATE = """
import json, os
from pathlib import Path

def test_half_of_the_programs_pass():
    rows = [json.loads(line) for line in Path(os.environ["SSD_CANDIDATE_RESULTS"]).read_text().splitlines()]
    assert os.environ["SSD_CANDIDATE_MODEL"] == ""
    assert os.environ["SSD_TEST_SERVER"] == "http://127.0.0.1:1"
    assert Path(os.environ["SSD_TASKS"]).is_file() and Path(os.environ["SSD_BASELINE_RESULTS"]).is_file()
    assert sum(row["status"] == "pass" for row in rows) >= len(rows) / 2
"""
FORGED = """
import atexit, os, sys
report = next(word.partition("=")[2] for word in sys.argv if word.startswith("--junitxml="))
atexit.register(lambda: open(report, "w").write({report!r}))

def test_fine():
    assert True
"""
BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><testsuites><testsuite name="&c;"/></testsuites>'
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><testsuites>&f;</testsuites>'


@pytest.fixture
def context(tmp_path: Path) -> GateContext:
    check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
    task = Task(task_id="t", prompt="-", check=check)
    write_jsonl(tmp_path / "tasks.jsonl", [task.to_json()])
    (tmp_path / "work").mkdir()

    def side(role: str) -> Side:
        path = tmp_path / f"{role}.jsonl"
        row = Result(task_id="t", sample_id="0", completion="x", status=Status.PASS, program="x")
        write_jsonl(path, [row.to_json()])
        return Side(role=role, results=path, rows=tuple(read_results(path)), meta={})

    return GateContext(
        tasks=(task,), baseline=side("baseline"), candidate=side("candidate"), origin=None, model=None,
        baseline_model=None, training=(), tasks_path=tmp_path / "tasks.jsonl", work=tmp_path / "work", alpha=0.025,
        sandbox="landlock", memo=ProgramMemo(),
    )  # fmt: skip


@pytest.fixture
def judge(context: GateContext, tmp_path: Path) -> Callable[..., GateResult]:
    """Run the gate, apart as in a gate run, on a suite of this text."""

    def run(text: str, *, timeout_s: float = 300, interpreter: str = sys.executable) -> GateResult:
        suite = tmp_path / "suite"
        suite.mkdir()
        (suite / "test_candidate.py").write_text(text)
        settings = gate.Settings(suite=str(suite), interpreter=interpreter)
        job = Job(call=lambda: [gate.check(context, settings)], timeout_s=timeout_s)
        return one_result("tests", run_apart({"tests": job})["tests"], paired=False)

    return run


def test_a_suite_that_passes_reads_what_it_judges(
    judge: Callable[..., GateResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSD_TEST_SERVER", "http://127.0.0.1:1")
    result = judge(READS_THE_CANDIDATE)
    assert result.status is GateStatus.PASS, result
    assert result.reason.startswith("1 tests: 0 failed, 0 broke, 0 skipped; suite ")


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (PASSING + "def test_bad():\n    assert 1 == 2, 'the answer is wrong'\n", GateStatus.BREACH, "2 tests: 1 failed"),
        ("import pytest\n@pytest.fixture\ndef x():\n    1 / 0\ndef test_x(x):\n    pass\n", GateStatus.ERROR, "1 broke"),
        ("import no_such_module\n", GateStatus.ERROR, "1 broke"),
        ("import pytest\n@pytest.mark.skip\ndef test_x():\n    pass\n", GateStatus.INSUFFICIENT, "none ran"),
        ("", GateStatus.ERROR, "0 tests: 0 failed, 0 broke, 0 skipped"),
        (PASSING + "def test_dies():\n    import os\n    os._exit(0)\n", GateStatus.ERROR, "pytest wrote no report"),
        (PASSING + "def test_crash():\n    import os\n    os.abort()\n", GateStatus.ERROR, "pytest wrote no report"),
        (FORGED.format(report=BOMB), GateStatus.ERROR, "document type"),
        (FORGED.format(report=OUTSIDE), GateStatus.ERROR, "document type"),
        (FORGED.format(report="<testsuites"), GateStatus.ERROR, "the report is no JUnit XML"),
        (FORGED.format(report=""), GateStatus.ERROR, "the report is no JUnit XML"),
        (FORGED.format(report="<html/>"), GateStatus.ERROR, ""),
        (FORGED.format(report="<testsuites/>"), GateStatus.ERROR, "0 tests"),
    ],
    ids=["failing", "broken fixture", "broken import", "skipped", "empty", "exits 0", "aborts", "entities", "external entity",
         "cut off", "empty report", "another format", "report of nothing"],
)  # fmt: skip
def test_anything_but_passed_tests_is_not_a_pass(
    judge: Callable[..., GateResult], text: str, status: GateStatus, said: str
) -> None:
    result = judge(text)
    assert result.status is status, result
    assert said in result.reason
    if status is GateStatus.BREACH:
        (finding,) = result.findings
        assert "test_bad: " in finding.message
        assert "the answer is wrong" in finding.message


def test_a_suite_that_hangs_is_stopped_with_all_it_started(judge: Callable[..., GateResult], tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    text = f"""
import subprocess, sys, time
def test_hangs():
    beat = "import time, pathlib\\nwhile True:\\n    pathlib.Path({str(alive)!r}).touch(); time.sleep(0.05)"
    subprocess.Popen([sys.executable, "-c", beat])
    time.sleep(600)
"""
    result = judge(text, timeout_s=20)
    assert result.status is GateStatus.ERROR
    assert "time limit of 20 s" in result.reason
    if alive.exists():  # else the machine was too slow to start it in time
        time.sleep(0.5)
        before = alive.stat().st_mtime_ns
        time.sleep(0.5)
        assert alive.stat().st_mtime_ns == before, "the suite's child lives on"


def test_a_python_that_is_not_there_is_an_error(judge: Callable[..., GateResult], tmp_path: Path) -> None:
    result = judge(PASSING, interpreter=str(tmp_path / "python"))
    assert (result.status, "No such file" in result.reason) == (GateStatus.ERROR, True)


def test_an_interpreter_without_pytest_wrote_no_report(judge: Callable[..., GateResult], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    result = judge(PASSING, interpreter=str(bare))
    assert result.status is GateStatus.ERROR
    assert "No module named pytest" in result.reason


@pytest.mark.parametrize(("suite", "status"), [("", GateStatus.INSUFFICIENT), ("nowhere", GateStatus.ERROR)])
def test_without_a_suite_nothing_is_shown(context: GateContext, suite: str, status: GateStatus) -> None:
    assert gate.check(context, gate.Settings(suite=suite)).status is status


def test_another_suite_has_another_digest(tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_a.py").write_text("a")
    before = gate._digest(suite)
    (suite / "__pycache__").mkdir()
    (suite / "__pycache__/x.pyc").write_text("made by running it")
    assert gate._digest(suite) == before
    (suite / "test_a.py").write_text("b")
    assert gate._digest(suite) != before
