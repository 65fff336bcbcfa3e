"""Gates run apart from a process with threads as they do from one without."""

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apart
import numpy as np
import pytest

from ssd_plugin.gating.isolation import Job, run_apart
from ssd_plugin.gating.run import run_gates
from ssd_plugin.gating.verdict import GateStatus, Outcome
from ssd_plugin.metrics.diversity import of_side, of_task

POLICY = """
schema = "ssd-policy/1"
name = "test"
description = "small"
promotable = false
sandbox = "landlock"
min_tasks = 100
min_samples = 5
[gates.integrity]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.06
[gates.lint]
tier = "critical"
[gates.imports]
tier = "critical"
"""

SCRIPT = """
import apart, threading, warnings
warnings.filterwarnings("error", "This process", DeprecationWarning)
from ssd_plugin.gating.isolation import Job, run_apart
print("once", flush=True)
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(run_apart({"probe": Job(call=apart.takes_the_lock, timeout_s=60)})["probe"].results[0].status)
"""


@contextmanager
def python_thread() -> Iterator[None]:
    """Another thread that holds a lock which the job wants."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with apart.LOCK:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def library_threads() -> Iterator[None]:
    """The pool that numpy's library keeps between two products."""
    matrix = np.ones((600, 600))
    assert (matrix @ matrix)[0, 0] == 600
    yield


@pytest.fixture(autouse=True)
def forks_are_safe() -> Iterator[None]:
    """Python 3.12 and newer warn where a process with threads is forked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "This process .* is multi-threaded", DeprecationWarning)
        yield


THREADS = pytest.mark.parametrize("busy", [python_thread, library_threads])


@THREADS
def test_a_gate_is_alone_in_its_process_and_waits_for_nobody(
    busy: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for value in ("first", "second"):  # a host that is there already hears of changes too
        (tmp_path / value).mkdir()
        monkeypatch.chdir(tmp_path / value)
        monkeypatch.setenv("APART", value)
        with busy():
            answer = run_apart({"probe": Job(call=apart.takes_the_lock, timeout_s=60)})["probe"]
        assert not answer.failure
        assert answer.results[0].status is GateStatus.PASS
        assert answer.results[0].reason == f"{tmp_path / value} {value} 1"


@THREADS
def test_a_gate_that_hangs_is_stopped(busy: Callable[[], Any]) -> None:
    with busy():
        answers = run_apart(
            {"a": Job(call=apart.hangs, timeout_s=0.5), "b": Job(call=apart.takes_the_lock, timeout_s=60)}
        )
    assert answers["a"].failure == "stopped after its time limit of 0.5 s"
    assert not answers["b"].failure


@THREADS
def test_a_whole_gate_run(busy: Callable[[], Any], world: Any, tools: Any, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    sides = [world.write(f"side{seed}", tools.make_rows(world.tasks, seed=seed)) for seed in (1, 2)]
    with busy():
        verdict = run_gates(world.request(*sides, str(path)))
    assert verdict.outcome is Outcome.GO, verdict.reason


@THREADS
def test_diversity(busy: Callable[[], Any]) -> None:
    programs = ["def f(x):\n    return x\n", "def f(x):\n    return x + 0\n"]
    with busy():
        assert of_side({"t": programs}) == {"t": of_task(programs)}


def test_a_gate_that_no_other_process_can_find_runs_all_the_same() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork after all
        answer = run_apart({"probe": Job(call=lambda: apart.takes_the_lock(), timeout_s=60)})["probe"]
    over.set()
    thread.join()
    assert answer.results[0].status is GateStatus.PASS


def test_a_script_with_threads_and_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(apart.__file__).parent)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.returncode) == ("once\npass\n", 0), done.stderr
