"""The whole pipeline through the installed command: another architecture from a local directory, and what a user gets wrong."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import SSD, small
from tiny_models import save_model

from ssd_plugin.methods import METHODS
from ssd_plugin.models.weights import check_model_dir


def ssd_run(model: Path | str, run_dir: Path, changes: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    own = {
        "model.ref": model,
        "model.system_message": "",
        "prompts.source": "bank:train",
        "evaluate.samples_per_task": 5,
    }
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "COLUMNS": "80"}  # nothing listens on port 9
    return subprocess.run(small("run", run_dir, own | changes), capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "llama", "llama", max_position_embeddings=1024)


def test_a_llama_from_a_local_directory_goes_from_prompts_to_report(llama: Path, tmp_path: Path) -> None:
    first = ssd_run(llama, tmp_path / "run", {})
    assert first.returncode == 2, first.stderr  # four tasks decide nothing
    assert "INCONCLUSIVE by policy " in first.stdout
    assert "pass@5" in first.stdout
    assert all(len(line) <= 80 for line in first.stdout.splitlines() if line.lstrip().startswith(("│", "┃", "┏", "└")))
    check_model_dir(tmp_path / "run/train/model")
    assert (tmp_path / "run/report/index.html").stat().st_size > 10_000
    again = ssd_run(llama, tmp_path / "run", {})
    assert again.returncode == 2, again.stderr
    for stage in METHODS["ssd"].stage_names:
        assert f"{stage:9} unchanged: " in again.stdout


def empty_prompts(tmp_path: Path, _: Path) -> tuple[str | Path, dict[str, Any]]:
    (tmp_path / "empty.jsonl").touch()
    return "", {"prompts.source": tmp_path / "empty.jsonl"}


def endless_prompt(tmp_path: Path, _: Path) -> tuple[str | Path, dict[str, Any]]:
    row = {"task_id": "a-long-one", "prompt": "word " * 3000}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    return "", {"prompts.source": tmp_path / "long.jsonl"}


def no_template(tmp_path: Path, llama: Path) -> tuple[str | Path, dict[str, Any]]:
    bare = shutil.copytree(llama, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    return bare, {}


MISTAKES: dict[str, tuple[Callable[[Path, Path], tuple[str | Path, dict[str, Any]]], tuple[str, ...]]] = {
    "missing model": (lambda tmp, _: (tmp / "nothing", {}), ("model.ref", "no directory", "hub id")),
    "hub unreachable": (lambda *_: ("nobody/nothing", {}), ("nobody/nothing", "local directory")),
    "no chat template": (no_template, ("chat template", "chat_template.jinja")),
    "empty prompt file": (empty_prompts, ("empty.jsonl",)),
    "prompt longer than the context": (endless_prompt, ("a-long-one", "context")),
    "all samples dropped": (
        lambda *_: ("", {"filters.drop_truncated": "true", "sampling.max_new_tokens": 1}),
        ("no sample", "filters"),
    ),
    "fixed point": (
        lambda *_: ("", {"sampling.temperature": 1, "sampling.top_k": 0, "sampling.top_p": 1}),
        ("fixed point",),
    ),
}


def test_a_mistake_is_one_line_exit_3_and_the_run_can_go_on(llama: Path, tmp_path: Path) -> None:
    for mistake, (make, words) in MISTAKES.items():
        model, changes = make(tmp_path, llama)
        done = ssd_run(model or llama, tmp_path / "run", changes)
        assert done.returncode == 3, (mistake, done.stdout)
        assert "Traceback" not in done.stderr, (mistake, done.stderr)
        errors = [line for line in done.stderr.splitlines() if line.startswith("ssd: ")]
        assert len(errors) == 1, (mistake, done.stderr)
        assert all(word in errors[0] for word in words), (mistake, errors[0])
    mended = ssd_run(llama, tmp_path / "run", {})
    assert mended.returncode == 2, mended.stderr


def test_an_unknown_recipe_gets_the_nearest_names() -> None:
    done = subprocess.run([str(SSD), "run", "ssd_smolm"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "ssd_smollm2_135m" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
