"""Both verdicts on really trained candidates, from sampling to promotion, through the installed command.

SmolLM2-135M is judged on a regression suite that it mostly passes. A gentle fine-tune keeps that: GO. One on samples of very high
temperature, with a learning rate that wrecks the model, is the NO-GO; as any second setting of a run does, it shares the base's
held-out samples with the first.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from simple_tasks import simple_tasks

from ssd_plugin.core.jsonl import write_jsonl

SSD = Path(sys.executable).with_name("ssd")
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
    "evaluate.base.top_p": 1.0,
    "evaluate.samples_per_task": 1,
    "evaluate.max_new_tokens": 48,
    "gate.policy": "smoke",
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


def breached(verdict: dict[str, Any]) -> set[str]:
    return {gate["result"]["gate"] for gate in verdict["gates"] if gate["result"]["status"] == "breach"}


@pytest.mark.timeout(1800)
def test_one_go_and_one_no_go_on_trained_candidates(tmp_path: Path) -> None:
    tasks, gentle, harmful = tmp_path / "simple.jsonl", tmp_path / "gentle", tmp_path / "harmful"
    write_jsonl(tasks, simple_tasks())
    status, output, verdict = run(tasks, gentle, GENTLE)
    assert (status, verdict["outcome"]) == (0, "GO"), verdict["reason"]
    assert "\nGO by policy smoke" in output
    assert not breached(verdict)

    shutil.copytree(gentle, harmful)
    status, output, verdict = run(tasks, harmful, HARMFUL)
    assert (status, verdict["outcome"]) == (1, "NO-GO"), verdict["reason"]
    assert "NO-GO by policy smoke" in output
    assert "correctness" in breached(verdict)
    base = "evaluate/base/samples.jsonl"
    assert (harmful / base).read_bytes() == (gentle / base).read_bytes()
    promotion = json.loads((harmful / "promote/result.json").read_text())
    assert promotion == {"promoted": False, "registry": "", "why": "the verdict is NO-GO"}
