"""`generate` by a model on disk: the rows of a run's evaluation."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ssd_plugin.config.generating import GenerateConfig
from ssd_plugin.config.schema import DecodeConfig, EngineConfig, ModelConfig
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.errors import DataError, DependencyError, ModelError
from ssd_plugin.grading.grader import Grading
from ssd_plugin.pipeline import generate as module
from ssd_plugin.pipeline.generate import generate
from ssd_plugin.pipeline.stages.completions import LoadedModel
from ssd_plugin.pipeline.stages.sample_and_grade import Split, sample_and_grade
from ssd_plugin.recipes import load
from ssd_plugin.tasks.sources import BANK

DECODE = DecodeConfig(temperature=0.9, top_k=12, top_p=0.9)


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join((BANK / "dev.jsonl").read_text().splitlines(keepends=True)[:3]))
    return path


def config(model: Path) -> GenerateConfig:
    return GenerateConfig(
        seed=3,
        model=ModelConfig(ref=str(model), system_message="Be brief."),
        engine=EngineConfig(dtype="float32"),
        decode=DECODE,
        samples_per_task=2,
        max_new_tokens=12,
    )


def test_its_rows_are_those_of_a_runs_evaluation(tiny_llama: Path, tasks: Path, tmp_path: Path) -> None:
    own = config(tiny_llama)
    made = generate(str(tasks), tmp_path / "s.jsonl", own)
    run = replace(load("ssd_smollm2_135m")(), seed=3, model=own.model, engine=own.engine)
    with Grading(tasks) as grading, closing(LoadedModel(tiny_llama, run)) as model:
        split = Split(grading=grading, samples_per_task=2, max_new_tokens=12)
        sample_and_grade(split, model, DECODE, tmp_path / "evaluate", "evaluate")
    assert made.out.read_bytes() == (tmp_path / "evaluate/samples.jsonl").read_bytes()
    assert made.counts.completions == 6
    about = read_json(tmp_path / "s.jsonl.key.json")
    assert about["model"] == f"dir:{tiny_llama}"
    assert about["config"]["decode"] == {"temperature": 0.9, "top_k": 12, "top_p": 0.9}


def test_a_finished_file_is_left_and_another_models_is_refused(
    tiny_llama: Path, tiny_qwen3: Path, tasks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.jsonl"
    generate(str(tasks), out, config(tiny_llama))
    before = out.stat().st_mtime_ns
    assert generate(str(tasks), out, config(tiny_llama)).counts.completions == 6
    assert out.stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds other samples"):
        generate(str(tasks), out, config(tiny_qwen3))


def test_no_model_and_no_engine_are_one_line(tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="no directory"):
        generate(str(tasks), tmp_path / "s.jsonl", config(tmp_path / "none"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"torch: install this project with \[embedded\], or name a server"):
        generate(str(tasks), tmp_path / "s.jsonl", config(tmp_path / "none"))
    assert list(tmp_path.glob("s.jsonl*")) == []
