"""The processes that run stages: forked from one host an interpreter, told apart when they die, gone when nobody asks."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.errors import DataError, ResourceError, StageCrashError
from ssd_plugin.pipeline.interpreters import Interpreters
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.recipes import load

STAGES = {
    "steady": """
import os, sys
from ssd_plugin.pipeline.stages import StageReport

def run(run, config):
    loaded = "colorsys" in sys.modules
    threads = len(os.listdir("/proc/self/task"))
    return StageReport(summary=f"{os.getppid()} {loaded} {sys.stdin.read()!r} {threads}")
""",
    "killed": """
import os, signal

def run(run, config):
    os.kill(os.getpid(), signal.SIGKILL)
""",
    "crashing": """
def run(run, config):
    raise ZeroDivisionError("a bug")
""",
    "refusing": """
from ssd_plugin.errors import DataError

def run(run, config):
    raise DataError("no such thing")
""",
    "waiting": """
import time

def run(run, config):
    try:
        (run / "began").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        (run / "cleaned up").touch()
        raise
""",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run directory, and an interpreter that has the stages above in the place of the real ones."""
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config_to_json(load("ssd_smollm2_135m")())))
    for name, source in STAGES.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "sitecustomize.py").write_text(
        f"import ssd_plugin.pipeline.stages\nssd_plugin.pipeline.stages.__path__.insert(0, {str(tmp_path)!r})"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return RunDir(directory)


@pytest.fixture
def interpreters(run: RunDir) -> Iterator[Interpreters]:
    with run.locked() as lock, Interpreters(run, lock) as found:
        yield found


def host_of(interpreters: Interpreters) -> int:
    return next(iter(interpreters._hosts.values()))._process.pid


def test_stages_are_forked_from_one_host_that_imported_for_them(interpreters: Interpreters) -> None:
    first = interpreters.run("steady")["summary"]
    second = interpreters.run("steady", imports=("colorsys", "no_such_module"))["summary"]
    third = interpreters.run("steady")["summary"]
    host = host_of(interpreters)
    assert [first, second, third] == [f"{host} {loaded} '' 1" for loaded in (False, True, True)]


def test_a_stage_that_dies_is_named_and_the_next_one_runs(interpreters: Interpreters) -> None:
    with pytest.raises(ResourceError, match="the stage killed was killed by SIGKILL"):
        interpreters.run("killed")
    with pytest.raises(StageCrashError, match="the stage crashing failed with exit status 1"):
        interpreters.run("crashing")
    with pytest.raises(DataError, match="no such thing"):
        interpreters.run("refusing")
    assert interpreters.run("steady")["peak_memory_mib"] > 0


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [("kill -9 $$", ResourceError, "killed by SIGKILL"), ("exit 7", StageCrashError, "exit status 7")],
)
def test_an_interpreter_that_dies_is_named(
    interpreters: Interpreters, tmp_path: Path, script: str, error: type[Exception], words: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(error, match=words):
        interpreters.run("steady", str(python))
    with pytest.raises(error, match=words):
        interpreters.run("steady", str(python))


def test_ctrl_c_lets_the_stage_clean_up_and_the_host_live_on(run: RunDir, interpreters: Interpreters) -> None:
    interpreters.run("steady")
    host = host_of(interpreters)

    def interrupt() -> None:
        while not (run / "began").exists():
            time.sleep(0.01)
        stage = int(Path(f"/proc/{host}/task/{host}/children").read_text())
        os.kill(host, signal.SIGINT)
        os.kill(stage, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        interpreters.run("waiting")
    assert (run / "cleaned up").exists()
    assert interpreters.run("steady")["summary"].startswith(str(host))


def test_the_host_ends_when_nobody_asks_and_the_lock_is_free_then(run: RunDir) -> None:
    with run.locked() as lock, Interpreters(run, lock) as interpreters:
        interpreters.run("steady", sys.executable)
        host = host_of(interpreters)
        assert Path(f"/proc/{host}").exists()
    assert not Path(f"/proc/{host}").exists()
    with run.locked(patience=0):
        pass
