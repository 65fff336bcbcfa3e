"""What killed processes left in the temporary directory goes with the next one's start; nothing else does."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ssd_plugin.cli.main import main
from ssd_plugin.core.jsonl import write_jsonl
from ssd_plugin.core.locks import LOCK
from ssd_plugin.core.workplace import CALIBRATION, GATES, SANDBOX, Workplace

HOLD = """
import sys, time
from ssd_plugin.core.workplace import Workplace
place = Workplace(sys.argv[1])
print(place.path, flush=True)
time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def killed(prefix: str) -> Path:
    """The directory of a process that was killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD, prefix], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        assert path.name.startswith(prefix)
        owner.kill()
    return path


@pytest.mark.parametrize("prefix", [SANDBOX, GATES, CALIBRATION])
def test_only_the_dead_ones_of_the_same_kind_go(temporary: Path, prefix: str) -> None:
    dead, other = killed(prefix), killed({SANDBOX: GATES, GATES: CALIBRATION, CALIBRATION: SANDBOX}[prefix])
    (dead / "deep").mkdir()
    (temporary.parent / "precious").write_text("x")
    (dead / "deep/link").symlink_to(temporary.parent / "precious")
    with Workplace(prefix) as living:
        assert not dead.exists()
        assert other.is_dir()
        with Workplace(prefix):
            assert living.path.is_dir()
    assert not living.path.exists()
    assert (temporary.parent / "precious").read_text() == "x"


def test_what_was_never_one_of_them_stays(temporary: Path) -> None:
    outside = temporary.parent / "outside"
    outside.mkdir()
    (outside / LOCK).touch()
    (temporary / f"{GATES}link").symlink_to(outside)
    (temporary / f"{GATES}file").write_text("x")
    (temporary / f"{GATES}without").mkdir()
    (temporary / f"{GATES}linked").mkdir()
    (temporary / f"{GATES}linked" / LOCK).symlink_to(outside / LOCK)
    before = sorted(temporary.iterdir())
    with Workplace(GATES):
        pass
    assert sorted(temporary.iterdir()) == before
    assert (outside / LOCK).exists()


def test_a_killed_gate_run_leaves_nothing_behind_the_next_one(temporary: Path, tmp_path: Path) -> None:
    row = {"task_id": "t", "prompt": "p", "kind": "function", "entry_point": "f", "inputs": [[1]], "expected": [2]}
    write_jsonl(tmp_path / "t.jsonl", [row])
    write_jsonl(tmp_path / "s.jsonl", [{"task_id": "t", "sample_id": "0", "completion": "def f(x):\n    while 1: 0\n"}])
    sides = ["--baseline", str(tmp_path / "s.jsonl"), "--candidate", str(tmp_path / "s.jsonl")]
    command = [
        "gate",
        "--policy",
        "smoke",
        "--tasks",
        str(tmp_path / "t.jsonl"),
        *sides,
        "--out",
        str(tmp_path / "out"),
    ]
    with subprocess.Popen([str(Path(sys.executable).with_name("ssd")), *command], stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while not (left := list(temporary.glob(f"{GATES}*"))) and time.monotonic() < deadline:
            time.sleep(0.02)
        run.kill()
    assert left
    (tmp_path / "t.jsonl").unlink()  # ends at once, as an ERROR
    with pytest.raises(SystemExit):
        main([*command[:-1], str(tmp_path / "again")])
    assert not list(temporary.glob(f"{GATES}*"))
