"""`ssd generate` as a user runs it: killed, interrupted, continued, and its files judged by `ssd gate`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub
from simple_tasks import simple_tasks

SSD = Path(sys.executable).with_name("ssd")


@pytest.fixture
def stub() -> ChatStub:
    return ChatStub()


@pytest.fixture
def command(stub: ChatStub, tmp_path: Path) -> Iterator[list[str]]:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(row) + "\n" for row in simple_tasks()))
    with stub.serving() as url:
        words = ["generate", "--tasks", tasks, "--server", url, "--model", "good", "--concurrency", 4, "--samples", 1]
        yield [str(SSD), *map(str, words), "--out", str(tmp_path / "s.jsonl")]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def hang_after(stub: ChatStub, count: int) -> None:
    """The server falls silent once it has given so many answers."""

    def answer(body: dict[str, object]) -> str:
        if len(stub.asked) >= count:
            stub.let_go.clear()
        return "x"

    stub.answer = answer


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_what_was_fetched_outlives_the_command(
    sent: signal.Signals, status: int, stub: ChatStub, command: list[str], tmp_path: Path
) -> None:
    hang_after(stub, 20)
    first = start(command)
    wait_until(lambda: not stub.let_go.is_set() and stub.busy == 4)
    time.sleep(0.5)
    first.send_signal(sent)
    _, said = first.communicate(timeout=20)
    assert first.returncode == status
    assert said.strip() == ("ssd: interrupted; run the same command again to continue" if status == 130 else "")
    kept = (tmp_path / "s.jsonl.partial").read_text().count('"completion"')
    assert 15 <= kept < 30
    assert not (tmp_path / "s.jsonl").exists()
    stub.answer = lambda body: "x"
    stub.let_go.set()
    wait_until(lambda: stub.busy == 0)
    stub.asked.clear()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(stub.asked) == 60 - kept
    assert done.stdout.splitlines()[0] == "60 completions, 660 tokens, 0% at the length limit"
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 60


def test_its_files_are_judged_as_they_are(stub: ChatStub, command: list[str], tmp_path: Path) -> None:
    solutions = {row["prompt"]: row for row in simple_tasks()}

    def solve(body: dict[str, Any]) -> str:
        row = solutions[body["messages"][0]["content"]]
        returns = row["prompt"].partition(" returns ")[2].removesuffix(".")
        remark = "Here it is" if body["model"] == "good" else "Of course"
        return f"{remark}:\n```python\ndef {row['entry_point']}(x):\n    return {returns}\n```\n"

    stub.answer, stub.models = solve, ["good", "new"]
    subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    new = tmp_path / "new.jsonl"
    subprocess.run([*command, "--model", "new", "--out", new], capture_output=True, text=True, check=True)
    tasks, old, ledger = tmp_path / "tasks.jsonl", tmp_path / "s.jsonl", tmp_path / "looks.jsonl"
    sides = ["--baseline", old, "--candidate", new, "--ledger", ledger, "--out", tmp_path / "verdict"]
    judge = [SSD, "gate", "--policy", "smoke", "--tasks", tasks, *sides]
    done = subprocess.run([*map(str, judge)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    grade = [SSD, "score", "--tasks", tasks, "--samples", new, "--out", tmp_path / "r.jsonl"]
    graded = subprocess.run([*map(str, grade)], capture_output=True, text=True, check=True)
    assert graded.stdout.startswith("60 samples: 60 pass")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--temperature", "nan"], "decode.temperature"),
        (["--temperature", "9"], "decode.temperature = 9.0 is not allowed"),
        (["--top-p", "0"], "decode.top_p = 0.0 is not allowed"),
        (["--samples", "0"], "samples_per_task = 0 is not allowed"),
        (["--key-env", "sk-secret-key"], "server.key_env is not the name of an environment variable"),
        (["--set", "engine.name=vllm"], "engine and model.revision do not apply to a served model"),
        (["--set", "engin.name=vllm"], "engin is not a known key; did you mean engine?"),
        (["--out", "."], "is a directory"),
        (["--out", ""], "--out is empty"),
        (["--tasks", "none.jsonl"], "none.jsonl: no such file"),
        (["--model", "other"], "has no model other; --model names one of: good"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    words: list[str], said: str, command: list[str], tmp_path: Path
) -> None:
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr
    assert done.stderr.startswith("ssd: ")
    assert len(done.stderr.splitlines()) == 1
    assert "sk-secret" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.jsonl"]


def test_a_served_model_needs_no_framework(command: list[str]) -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'safetensors.torch')));"
    code = f"{blocked} from ssd_plugin.cli.main import main; main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, *command[1:]], check=True, capture_output=True)
