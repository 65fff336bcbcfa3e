"""`ssd sweep` through the installed command on a tiny model: killed within a cell, it goes on; the base is sampled once."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from small_run import small
from tiny_models import TAGGED, save_model

SETTINGS = {
    "sampling.max_new_tokens": 12,
    "train.warmup_iters": 1,
    "train.save_interval": 2,
    "train.global_batch_size": 4,
    "train.max_lr": 1e-3,
    "select.data.limit": 12,
    "select.temperatures": "0.4,1",
    "select.truncations": "20/0.8",
    "evaluate.data.limit": 3,
    "evaluate.max_new_tokens": 12,
}
CELLS = ["T=0.6,k=20,p=0.8", "T=1.4,k=20,p=0.8"]


def command(model: Path, sweep: Path, *words: str) -> list[str]:
    return small("sweep", sweep, SETTINGS | {"model.ref": model}, *words, "--json")


def stamps(folder: Path) -> dict[str, int]:
    """When each completion and model file was written."""
    files = [*folder.rglob("samples.jsonl"), *folder.rglob("completions.jsonl"), *folder.rglob("model.safetensors")]
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def kill_in_second_cell(arguments: list[str], sweep: Path) -> None:
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not (sweep / "cells" / CELLS[1] / "sample").exists():
        time.sleep(0.05)
    assert process.poll() is None, "the sweep ended before its second cell began to sample"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.timeout(900)
def test_a_killed_sweep_goes_on_cell_by_cell(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", "qwen3", TAGGED, max_position_embeddings=1024)
    sweep = tmp_path / "sweep"
    kill_in_second_cell(command(model, sweep, "--t-train", "0.6,1.4"), sweep)
    before = stamps(sweep / "cells" / CELLS[0])
    assert len(before) >= 1 + 1 + 8, "the first cell holds training samples, a model and two sides of four settings"
    done = subprocess.run(command(model, sweep), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = stamps(sweep / "cells" / CELLS[0])
    assert {name: after[name] for name in before} == before
    assert json.loads((sweep / "grid.json").read_text())["t_trains"] == [0.6, 1.4]
    document = json.loads(done.stdout.splitlines()[-1])
    assert document == json.loads((sweep / "sweep.json").read_text())
    check_document(document, sweep)
    page = (sweep / "sweep.html").read_text()
    assert page.count('aria-label="Development pass@1: trained with top-k 20, top-p 0.8') == 2
    assert "<script" not in page


def check_document(document: dict[str, Any], sweep: Path) -> None:
    assert [cell["cell"] for cell in document["cells"]] == CELLS
    assert all(len(cell["grid"]) == 4 for cell in document["cells"])
    assert len(document["base"]) == 4
    assert [fit["points"] for fit in document["fits"]] == [4, 4]
    base = [
        {
            f: (sweep / "cells" / cell / "select/base" / f).read_bytes()
            for f in ("T=1/samples.jsonl", "T=1/results.jsonl")
        }
        for cell in CELLS
    ]
    assert base[0] == base[1]
    assert document["held_out"]["looked_at"] == [document["chosen"]["cell"]]
    evaluated = [cell for cell in CELLS if (sweep / "cells" / cell / "evaluate").exists()]
    assert evaluated == [document["chosen"]["cell"]]
    assert document["selection"]["why_not"] == ""
    assert (sweep / "cells" / evaluated[0] / "analysis/sweep.json").exists()
