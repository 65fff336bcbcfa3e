"""The pipeline's book-keeping, with stages that only write files: what is redone, what is skipped, what is refused."""

import errno
import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.config.overrides import apply_overrides, config_from_json
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import jsonl
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.source_digest import source_files
from ssd_plugin.errors import DataError, ResourceError, RunDirError
from ssd_plugin.gating.verdict import GateStatus, Override, Verdict, write_verdict
from ssd_plugin.methods.ssd import SSD
from ssd_plugin.pipeline import manifest
from ssd_plugin.pipeline import runner as pipeline
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.runner import run_pipeline
from ssd_plugin.pipeline.stages import stage_module
from ssd_plugin.recipes import load


class FakeStages:
    """Stands in for the stages' interpreters: writes every file that the stage names, notes which stages ran."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.ran: list[str] = []
        self.directory = RunDir(Path())

    def __call__(self, run: RunDir, lock: int) -> "FakeStages":
        self.directory = run
        return self

    def __enter__(self) -> "FakeStages":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, name: str, python: str, imports: tuple[str, ...]) -> dict[str, Any]:
        self.ran.append(name)
        config = config_from_json(self.directory.read_config())
        stage = next(stage for stage in SSD.pipeline if stage.name == name)
        for written in stage.writes:
            path = self.directory / written
            if written == "train/model":
                path.mkdir(parents=True, exist_ok=True)
                path = path / "model.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            if written == layout.VERDICT:
                write_verdict(path, replace(self.verdict, reason=str(stage.settings(config))))
            else:
                path.write_text(f"{name} {stage.settings(config)}")
        return {
            "summary": f"did {name}",
            "facts": {"exit_code": 1},
            "peak_memory_mib": 1,
            "spent": {"model": 0.5},
        }


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, factory: Any) -> FakeStages:
    fake = FakeStages(factory.verdict())
    monkeypatch.setattr(pipeline, "Interpreters", fake)
    return fake


@pytest.fixture
def config() -> RunConfig:
    return load("ssd_smollm2_135m")()


def test_the_whole_pipeline_runs_once_and_its_exit_status_is_the_verdicts(
    stages: FakeStages, config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pipeline(config, tmp_path) == 1
    assert tuple(stages.ran) == SSD.stage_names
    stages.ran.clear()
    capsys.readouterr()
    assert run_pipeline(config, tmp_path) == 1
    assert stages.ran == []
    assert capsys.readouterr().out.count("unchanged: did ") == len(SSD.stage_names)


def test_a_changed_setting_redoes_what_depends_on_it(stages: FakeStages, config: RunConfig, tmp_path: Path) -> None:
    run_pipeline(config, tmp_path)
    stages.ran.clear()
    run_pipeline(apply_overrides(config, ["train.max_lr=4e-5"]), tmp_path)
    assert stages.ran[0] == "train"
    assert "sample" not in stages.ran
    stages.ran.clear()
    run_pipeline(apply_overrides(config, ["train.max_lr=4e-5", "gate.policy=strict"]), tmp_path)
    assert stages.ran == ["gate", "promote", "report"]


def test_a_changed_gate_redoes_the_verdict(
    stages: FakeStages, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = tmp_path / "gates"
    gates.mkdir()
    (gates / "lint.py").write_text("margin = 1")
    monkeypatch.setattr(pipeline, "GATES", gates)
    run_pipeline(config, tmp_path / "run")
    (gates / "lint.py").write_text("margin = 2")
    stages.ran.clear()
    run_pipeline(config, tmp_path / "run")
    assert stages.ran == ["gate"]
    stages.ran.clear()
    run_pipeline(config, tmp_path / "run")
    assert stages.ran == []


@pytest.mark.parametrize("what", ["verdict", "override"])
def test_a_verdict_that_time_ended_is_redone(
    stages: FakeStages, config: RunConfig, tmp_path: Path, factory: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "override":
        last = datetime.fromisoformat(stages.verdict.created).date() + timedelta(days=3)
        accepted = factory.gate(GateStatus.BREACH, override=Override(gate="lint", reason="known", expires=last))
        stages.verdict = factory.verdict(factory.gate(), accepted)
    run_pipeline(config, tmp_path)
    for days, redone in ((2, []), (31 if what == "verdict" else 5, ["gate"])):
        stages.ran.clear()
        later = datetime.fromisoformat(stages.verdict.created) + timedelta(days=days)
        monkeypatch.setattr(pipeline, "_now", lambda later=later: later)
        run_pipeline(config, tmp_path)
        assert stages.ran == redone, days


def test_an_error_verdict_is_tried_again(stages: FakeStages, config: RunConfig, tmp_path: Path, factory: Any) -> None:
    stages.verdict = factory.verdict(factory.gate(GateStatus.ERROR))
    run_pipeline(config, tmp_path)
    stages.ran.clear()
    run_pipeline(config, tmp_path)
    assert stages.ran == ["gate"]


def test_a_stage_is_held_to_the_tools_of_its_own_interpreter(
    stages: FakeStages, config: RunConfig, tmp_path: Path
) -> None:
    python = tmp_path / "python"

    def has(**versions: str) -> None:
        python.write_text(f"#!/bin/sh\necho '{json.dumps(versions)}'\n")
        python.chmod(0o755)

    config = apply_overrides(config, [f"python.train={python}"])
    has(python="3.11.0", torch="2.8.0", other="1")
    run_pipeline(config, tmp_path / "run")
    record = json.loads((tmp_path / "run/manifest.json").read_text())["stages"]["train"]
    assert record["tools"] == {"python": "3.11.0", "torch": "2.8.0"}
    stages.ran.clear()
    has(python="3.11.0", torch="2.8.0", other="2")
    run_pipeline(config, tmp_path / "run")
    assert stages.ran == []
    has(python="3.11.0", torch="2.9.0")
    run_pipeline(config, tmp_path / "run")
    assert stages.ran == ["train"]


def test_another_containers_tools_are_not_asked_for(
    stages: FakeStages, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage's job looks at the whole pipeline, from an image that has other tools."""
    config = apply_overrides(config, ["container.sample=vllm:1"])
    run_pipeline(config, tmp_path, until="sample")
    stages.ran.clear()
    monkeypatch.setattr(pipeline, "tool_versions", lambda _: {"python": "3.12.0"})
    run_pipeline(config, tmp_path, until="train")
    assert stages.ran == ["filter", "train"]
    stages.ran.clear()
    run_pipeline(apply_overrides(config, ["container.sample=vllm:2"]), tmp_path, until="train")
    assert stages.ran == ["sample", "filter", "train"]


def test_an_upstream_result_that_comes_out_the_same_stops_the_redoing(
    stages: FakeStages, config: RunConfig, tmp_path: Path
) -> None:
    run_pipeline(config, tmp_path)
    stages.ran.clear()
    (tmp_path / "filter/report.json").unlink()
    run_pipeline(config, tmp_path)
    assert stages.ran == ["filter"]


def test_a_changed_file_is_named_and_nothing_runs(stages: FakeStages, config: RunConfig, tmp_path: Path) -> None:
    run_pipeline(config, tmp_path)
    stages.ran.clear()
    (tmp_path / "train/model/model.safetensors").write_text("other weights")
    with pytest.raises(RunDirError, match=r"train/model: changed since the stage train wrote it"):
        run_pipeline(config, tmp_path)
    assert stages.ran == []


def test_a_run_directory_can_be_moved(stages: FakeStages, config: RunConfig, tmp_path: Path) -> None:
    run_pipeline(config, tmp_path / "here")
    stages.ran.clear()
    (tmp_path / "here").rename(tmp_path / "there")
    run_pipeline(config, tmp_path / "there")
    assert stages.ran == []


def test_until_stops_early_and_the_pipeline_goes_on_from_there(
    stages: FakeStages, config: RunConfig, tmp_path: Path
) -> None:
    assert run_pipeline(config, tmp_path, until="filter") == 0
    assert stages.ran == ["prompts", "sample", "filter"]
    run_pipeline(config, tmp_path)
    assert tuple(stages.ran) == SSD.stage_names


def test_a_second_process_is_refused(config: RunConfig, tmp_path: Path) -> None:
    with RunDir(tmp_path).locked():
        code = (
            "import sys; from pathlib import Path; from ssd_plugin.pipeline.run_directory import RunDir\n"
            "with RunDir(Path(sys.argv[1])).locked(patience=0.2): print('got it')"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "in use by another process (pid " in done.stderr


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"schema": "ssd-manifest/9", "stages": {}}', '{"schema": "ssd-manifest/1"}']
)
def test_a_corrupt_manifest_is_named(stages: FakeStages, config: RunConfig, tmp_path: Path, damage: str) -> None:
    run_pipeline(config, tmp_path)
    (tmp_path / "manifest.json").write_text(damage)
    with pytest.raises(RunDirError, match=r"manifest\.json"):
        run_pipeline(config, tmp_path)


def test_another_recipes_directory_is_refused(stages: FakeStages, config: RunConfig, tmp_path: Path) -> None:
    run_pipeline(config, tmp_path)
    with pytest.raises(RunDirError, match="belongs to recipe 'ssd_smollm2_135m', not 'ssd_qwen3'"):
        run_pipeline(load("ssd_qwen3")(), tmp_path)


def test_a_manifest_survives_its_file(stages: FakeStages, config: RunConfig, tmp_path: Path) -> None:
    run_pipeline(config, tmp_path)
    records = manifest.load(tmp_path / "manifest.json")
    manifest.save(tmp_path / "copy.json", records)
    assert manifest.load(tmp_path / "copy.json") == records
    assert set(records) == set(SSD.stage_names)


def test_every_stage_reads_only_what_an_earlier_one_wrote() -> None:
    written: set[str] = set()
    for stage in SSD.pipeline:
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


@pytest.mark.parametrize("stage", SSD.stage_names)
def test_a_stages_code_version_covers_what_it_calls(stage: str) -> None:
    names = {path.name for path in source_files(stage_module(stage))}
    assert stage_module(stage).rpartition(".")[2] + ".py" in names
    assert {"run_directory.py", "jsonl.py", "errors.py", "schema.py"} <= names


def test_the_error_of_a_stages_process_comes_back_as_itself(config: RunConfig, tmp_path: Path) -> None:
    changed = apply_overrides(config, [f"prompts.source={tmp_path}/none.jsonl", f"model.ref={tmp_path}/none"])
    with pytest.raises(Exception, match="none") as caught:
        run_pipeline(changed, tmp_path / "run", until="prompts")
    assert type(caught.value).__module__ == "ssd_plugin.errors"
    assert json.loads((tmp_path / "run/config.json").read_text())["recipe"] == config.recipe


def test_settings_with_a_source_that_is_refused_do_not_stay(
    stages: FakeStages, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_pipeline(config, tmp_path, until="prompts")
    refused = apply_overrides(config, ["prompts.source=none.jsonl"])

    def refuse(name: str, *_: object) -> None:
        assert config_from_json(RunDir(tmp_path).read_config()) == refused, "the stage reads the new settings"
        (tmp_path / "prompts/dev.jsonl").write_text("of the new settings\n")
        raise DataError("none.jsonl: holds no prompts")

    with monkeypatch.context() as patched:
        patched.setattr(stages, "run", refuse)
        with pytest.raises(DataError, match="holds no prompts"):
            run_pipeline(refused, tmp_path)
    assert config_from_json(RunDir(tmp_path).read_config()) == config
    stages.ran.clear()
    run_pipeline(config, tmp_path)
    assert stages.ran[0] == "prompts", "it had begun to write"
    assert (tmp_path / "prompts/dev.jsonl").read_text() != "of the new settings\n"


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.write_jsonl(path, [{"old": 1}])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jsonl.os, "fsync", full)
    with pytest.raises(ResourceError, match=r"no space left while writing .*rows\.jsonl"):
        jsonl.write_jsonl(path, [{"new": 1}])
    assert [row for _, row in jsonl.read_jsonl(path)] == [{"old": 1}]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff", b"null", b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + line + b"\n")
    with pytest.raises(DataError, match=r"rows\.jsonl:3: "):
        list(jsonl.read_jsonl(path))
