"""Both verdicts on really trained candidates, from sampling to verdict, through the installed command.

A gentle fine-tune of SmolLM2-135M keeps what the base can do: GO. One on samples of very high temperature with a learning
rate that wrecks it is the NO-GO; it shares the base's held-out samples with the first, as any second setting of a run does.
"""

import json
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.data.sources import BANK
from ssd_plugin.jsonl import read_jsonl, write_jsonl

SSD = Path(sys.executable).with_name("ssd")
TASKS = 52  # the policy asks for 50
SMALL: dict[str, Any] = {
    "prompts.limit": 8,
    "sampling.max_new_tokens": 64,
    "filters.drop_truncated": "false",
    "train.train_iters": 1,
    "train.warmup_iters": 0,
    "train.save_interval": 1,
    "train.global_batch_size": 4,
    "select.temperatures": 0.1,
    "select.data.limit": 2,
    "evaluate.base.temperature": 0.1,
    "evaluate.samples_per_task": 1,
    "evaluate.max_new_tokens": 80,
}
GENTLE = {"train.max_lr": 1e-6, "train.min_lr": 1e-7}
HARMFUL = {"sampling.temperature": 2.0, "sampling.top_p": 1.0, "train.max_lr": 3e-3, "train.min_lr": 1e-3}


def run(tasks: Path, run_dir: Path, changes: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    settings = SMALL | {"evaluate.data.source": tasks} | changes
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [str(SSD), "run", "ssd_smollm2_135m", "--run-dir", str(run_dir), *sets]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1, 2), done.stderr
    return done.returncode, done.stdout, json.loads((run_dir / "gate/verdict.json").read_text())


@pytest.mark.timeout(3000)
def test_one_go_and_one_no_go_on_trained_candidates(tmp_path: Path) -> None:
    easy = (row for _, row in read_jsonl(BANK / "heldout.jsonl") if row["difficulty"] == "easy")
    write_jsonl(tmp_path / "easy.jsonl", islice(easy, TASKS))
    gentle, harmful = tmp_path / "gentle", tmp_path / "harmful"
    status, output, verdict = run(tmp_path / "easy.jsonl", gentle, GENTLE)
    assert (status, verdict["outcome"]) == (0, "GO"), verdict["reason"]
    assert "verdict: GO" in output
    assert (gentle / "report/index.html").stat().st_size > 10_000

    shutil.copytree(gentle, harmful)
    status, output, verdict = run(tmp_path / "easy.jsonl", harmful, HARMFUL)
    assert (status, verdict["outcome"]) == (1, "NO-GO"), verdict["reason"]
    assert "verdict: NO-GO" in output
    breached = {gate["result"]["gate"] for gate in verdict["gates"] if gate["result"]["status"] == "breach"}
    assert breached & {"correctness", "collapse"}, verdict["reason"]
    base = "evaluate/base/samples.jsonl"
    assert (harmful / base).read_bytes() == (gentle / base).read_bytes()
    result = json.loads((harmful / "promote/result.json").read_text())
    assert result == {"promoted": False, "registry": "", "why": "the verdict is NO-GO"}
