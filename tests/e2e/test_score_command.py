"""`ssd score` as a user runs it: exit status, output, one-line errors."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TASK = {"task_id": "double", "prompt": "p", "domain": "d", "kind": "stdio", "inputs": ["2\n"], "expected": ["4\n"]}
SSD = Path(sys.executable).with_name("ssd")


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def score(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SSD, "score", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    rows = [{"task_id": "double", "sample_id": str(n), "completion": f"print(int(input()) * {n})"} for n in (1, 2)]
    samples = write(tmp_path / "s.jsonl", *rows)
    return ["--tasks", write(tmp_path / "t.jsonl", TASK), "--samples", samples, "--out", tmp_path / "r.jsonl"]


def test_text(files: list[object], tmp_path: Path) -> None:
    done = score(*files, "-k", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "2 samples: 1 pass, 1 fail"
    assert "pass@1 0.500" in done.stdout
    assert (tmp_path / "r.jsonl.meta.json").exists()


def test_a_domain_cannot_drive_the_terminal(files: list[object], tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", TASK | {"domain": "\x1b[2J"}, TASK | {"task_id": "other"})
    samples = [{"task_id": t, "sample_id": "1", "completion": "print(4)"} for t in ("double", "other")]
    write(tmp_path / "s.jsonl", *samples)
    done = score(*files, "-k", 1)
    assert done.returncode == 0, done.stderr
    assert "domain \\x1b[2J: pass@1" in done.stdout
    assert "\x1b" not in done.stdout


def test_json(files: list[object]) -> None:
    done = score(*files, "--json", "--workers", 1, "--cpu-seconds", 3)
    document = json.loads(done.stdout)
    assert (document["counts"]["pass"], document["samples"]) == (1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--tasks": "/no/such.jsonl"}, "/no/such.jsonl: "),
        ({"--tasks": "humanevil"}, "not one of humaneval"),
        ({"--samples": "/no/such.jsonl"}, "/no/such.jsonl: "),
        ({"--tier": "docker"}, "docker"),
        ({"-k": "5"}, "pass@5 needs 5 samples"),
        ({"--out": ""}, "--out is empty"),
        ({"--cpu-seconds": "nan"}, "give a day (86400) at most"),
        ({"--cpu-seconds": "inf"}, "give a day (86400) at most"),
        ({"--memory-mib": "99999999999999999999"}, "is not in the range"),
    ],
)
def test_errors_are_one_line_and_status_3(files: list[object], change: dict[str, str], message: str) -> None:
    arguments = dict(zip(files[::2], files[1::2], strict=True)) | change
    done = score(*(word for pair in arguments.items() for word in pair))
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert message in done.stderr


def test_results_of_other_inputs_are_not_written_over(files: list[object], tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    assert score(*files).returncode == 0
    kept = results.read_bytes()
    assert score(*files).returncode == 0, "the same inputs: as before"
    other = write(tmp_path / "other.jsonl", {"task_id": "double", "sample_id": "9", "completion": "print(4)"})
    edited = write(tmp_path / "edited.jsonl", TASK | {"expected": ["5\n"]})
    for name, given in (("--samples", other), ("--tasks", edited)):
        done = score(*files, name, given)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
        assert f"r.jsonl: holds the results of other {name[2:]} and is not written over" in done.stderr
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    done = score(*files, "--out", notes)
    assert (done.returncode, "holds no results of ssd score" in done.stderr) == (3, True)
    assert (results.read_bytes(), notes.read_text()) == (kept, "mine")
