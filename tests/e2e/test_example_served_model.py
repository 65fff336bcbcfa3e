"""examples/gate_served_model: with its own stand-in, and with a server that misbehaves."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, good, half, says, status, truncated

EXAMPLES = Path(__file__).parents[2] / "examples"
STAND_IN = EXAMPLES / "gate_served_model/stand_in.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    left = shutil.ignore_patterns("champion*", "candidate*", "verdict", "looks*")  # by whoever tried it in its place
    shutil.copytree(STAND_IN.parent, tmp_path / "gate_served_model", ignore=left)
    shutil.copytree(EXAMPLES / "gate_two_samples", tmp_path / "gate_two_samples")
    return tmp_path / "gate_served_model"


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | variables
    return subprocess.run(
        ["./gate.sh"], cwd=folder, env=given, capture_output=True, text=True, timeout=400, check=False
    )


@pytest.fixture
def stub() -> ChatStub:
    spec = importlib.util.spec_from_file_location("stand_in", STAND_IN)
    assert spec is not None
    assert spec.loader is not None
    stand_in = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_in)

    def answer(body: dict[str, Any]) -> str:
        return str(stand_in.answer(body["model"], body["messages"], body["seed"]))

    stub = ChatStub(answer)
    stub.models = list(stand_in.MODELS)
    return stub


def names(stub: ChatStub, url: str) -> dict[str, str]:
    return {"SERVER": url, "CHAMPION": stub.models[0], "CANDIDATE": stub.models[1]}


def test_it_runs_as_it_is_and_beside_what_was_left(folder: Path) -> None:
    (folder / "champion.jsonl").write_text("of a stand-in at another address")
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GO by policy smoke" in done.stdout


def test_a_server_that_misbehaves_changes_nothing(folder: Path, stub: ChatStub) -> None:
    bad = [status(429, Retry_After="1"), status(500), status(503), half, truncated, says({"choices": []})]
    stub.faults = [good] * 10 + [fault for one in bad for fault in (one, good, good)]
    with stub.serving() as url:
        done = run(folder, KEY_ENV="OUR_KEY", OUR_KEY="sk-none-of-your-business", **names(stub, url))
    assert done.returncode == 0, done.stdout + done.stderr
    for model, side in zip(stub.models, ("champion", "candidate"), strict=True):
        assert (folder / f"{side}.jsonl").read_text().count(f'"{model} suggests:') == 240
    assert stub.keys == ["Bearer sk-none-of-your-business"] * 2
    assert "sk-none" not in done.stdout + done.stderr
    assert len(stub.asked) == 2 * 240 + len(bad)


def test_a_server_that_breaks_is_continued(folder: Path, stub: ChatStub) -> None:
    stub.faults = [good] * 50
    stub.always = status(400, "the disk is full")
    with stub.serving() as url:
        broken = run(folder, **names(stub, url))
        assert broken.returncode == 3
        assert "400 the disk is full" in broken.stderr
        assert not (folder / "verdict").exists()
        kept = (folder / "champion.jsonl.partial").read_text().count('"completion"')
        assert 34 <= kept <= 50
        stub.always = None
        stub.asked.clear()
        done = run(folder, **names(stub, url))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(stub.asked) == 2 * 240 - kept
