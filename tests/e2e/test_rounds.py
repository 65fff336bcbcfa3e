"""Rounds through the installed command: the second round starts from the first one's candidate, and the chain is reported."""

import json
import subprocess
from pathlib import Path

import pytest
from small_run import SSD, small
from tiny_models import save_model


@pytest.mark.timeout(900)
def test_the_second_round_starts_from_the_first_ones_candidate(tmp_path: Path) -> None:
    model = save_model(tmp_path / "llama", "llama", max_position_embeddings=1024)
    run = tmp_path / "run"
    changes = {"rounds": 2, "model.ref": model, "model.system_message": "", "train.train_iters": 1}
    done = subprocess.run(small("run", run, changes), capture_output=True, text=True)
    assert done.returncode == 2, done.stderr  # four tasks decide nothing
    chain = json.loads((run / "chain.json").read_text())
    assert [row["generation"] for row in chain["generations"]] == [0, 1, 2], chain["stopped"]
    second = json.loads((run / "rounds/2/config.json").read_text())
    assert second["model"]["ref"] == str(run / "train/model")
    assert second["gate"]["origin"] == str(run / "evaluate/base_best/results.jsonl")
    base, before = run / "rounds/2/evaluate/base/results.jsonl", run / "evaluate/candidate/results.jsonl"
    assert base.read_bytes() == before.read_bytes()
    assert "generation" in (run / "report/index.html").read_text().lower()


def test_a_bad_number_of_rounds_is_refused(tmp_path: Path) -> None:
    command = [str(SSD), "run", "ssd_smollm2_135m", "--run-dir", str(tmp_path / "run"), "--set", "rounds=0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert "rounds = 0 is not allowed" in done.stderr
