"""`kill -9` in every stage, the same command again: the same files, bit for bit."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_run import small
from tiny_models import TAGGED, save_model

from ssd_plugin.methods.ssd import SSD

FINAL = ("sample/completions.jsonl", "filter/kept.jsonl", "train/model", "select/choice.json", "evaluate/summary.json")


PAUSE = 0.6  # seconds that a stage waits before its work: some are over before anyone could see that they run
SLOWER = f"""
import importlib, time

import_module = importlib.import_module

def after_a_pause(name, package=None):
    if name.startswith("ssd_plugin.pipeline.stages."):
        time.sleep({PAUSE})
    return import_module(name, package)

importlib.import_module = after_a_pause
"""


def command(model: Path, run_dir: Path) -> list[str]:
    changes = {
        "model.ref": model,
        "engine.max_rows": 4,
        "prompts.limit": 12,
        "sampling.max_new_tokens": 24,
        "train.train_iters": 6,
        "train.warmup_iters": 1,
        "train.global_batch_size": 4,
        "train.max_lr": 1e-3,
        "select.data.limit": 4,
        "select.temperatures": "0.3,1",
        "evaluate.samples_per_task": 2,
        "evaluate.max_new_tokens": 24,
    }
    return small("run", run_dir, changes)


def results(run_dir: Path) -> dict[str, str]:
    records = json.loads((run_dir / "manifest.json").read_text())["stages"]
    written = {name: digest for record in records.values() for name, digest in record["outputs"].items()}
    return {name: written[name] for name in FINAL}


def alive_in(run_dir: Path) -> list[str]:
    """Names of a run's processes that are still there; a stage's says which it is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if str(run_dir).encode() in words:
                found.append((entry / "comm").read_text().strip())
        except OSError:
            continue
    return found


def kill_during(stage: str, arguments: list[str], run_dir: Path, delay: float) -> None:
    """Start the pipeline, wait until `stage` runs and `delay` seconds more, and kill `ssd` alone: its children must follow."""
    (run_dir.parent / "slower").mkdir(exist_ok=True)
    (run_dir.parent / "slower/sitecustomize.py").write_text(SLOWER)
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(run_dir.parent / "slower")},
    )
    while process.poll() is None and f"ssd {stage}" not in alive_in(run_dir):
        time.sleep(0.02)
    assert process.poll() is None, f"the pipeline ended before the stage {stage} began"
    time.sleep(PAUSE + delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while alive_in(run_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive_in(run_dir), "a killed run left a process behind"


@pytest.mark.timeout(1500)
def test_a_run_killed_in_every_stage_ends_like_one_left_alone(tmp_path: Path) -> None:
    tiny_qwen3 = save_model(tmp_path / "qwen3", "qwen3", TAGGED, max_position_embeddings=1024)
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    done = subprocess.run(command(tiny_qwen3, undisturbed), capture_output=True, text=True)
    assert done.returncode in (0, 1, 2), done.stderr
    records = json.loads((undisturbed / "manifest.json").read_text())["stages"]
    chance = random.Random(0)  # early enough that a stage is still running on a machine three times as fast
    for stage in SSD.stage_names:
        kill_during(
            stage, command(tiny_qwen3, disturbed), disturbed, chance.uniform(0, records[stage]["seconds"] * 0.3)
        )
    again = subprocess.run(command(tiny_qwen3, disturbed), capture_output=True, text=True)
    assert again.returncode == done.returncode, again.stderr
    assert results(disturbed) == results(undisturbed)
