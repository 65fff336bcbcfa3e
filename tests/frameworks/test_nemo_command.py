"""`nemo llm finetune` with the real NeMo-Run, and with nemo-toolkit 2.x where the environment has it."""

import dataclasses
import inspect
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin import recipes
from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.gpus import Gpus
from ssd_plugin.errors import ConfigError, DataError

pytestmark = pytest.mark.frameworks
pytest.importorskip("nemo_run", reason="needs nemo-run: make frameworks")

from nemo_run.cli.api import create_cli  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from ssd_plugin.integrations.nemo import command, task  # noqa: E402
from ssd_plugin.integrations.nemo.check import check_nemo  # noqa: E402

NEMO = Path(sys.executable).with_name("nemo")
Nemo = Callable[..., Any]
needs_toolkit = pytest.mark.skipif(command.TOOLKIT_FINETUNE is None, reason="needs nemo-toolkit 2.x: make frameworks")


@pytest.fixture
def nemo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nemo:
    """The command in this process: NeMo-Run builds its tree of commands from sys.argv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("nemo_run.cli.api.NEMORUN_SKIP_CONFIRMATION", None)
    monkeypatch.setattr("ssd_plugin.planning.preflight.find_gpus", lambda: Gpus(count=0, bytes=0))

    def invoke(*args: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["nemo", "llm", "finetune", *args])
        return CliRunner().invoke(create_cli(), ["llm", "finetune", *args])

    return invoke


def settings_of(nemo: Nemo, *args: str) -> RunConfig:
    result = nemo(*args, "--to-yaml", "out.yaml")
    assert result.exit_code == 0, result.output
    return task.from_yaml(task.read_yaml(Path("out.yaml")), None)[0]


def test_the_command_as_typed(tmp_path: Path) -> None:
    args = ["llm", "finetune", "--recipe", "ssd_qwen3", "sampling.temperature=1.4", "train.max_lr=3e-6", "--dryrun"]
    done = subprocess.run([NEMO, *args], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "temperature=1.4" in done.stdout
    assert "max_lr=3e-06" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", recipes.names())
@pytest.mark.parametrize("option", ["--recipe", "--factory"])
def test_every_recipe_through_yaml_and_back(nemo: Nemo, name: str, option: str) -> None:
    assert settings_of(nemo, option, name) == recipes.load(name)()
    assert settings_of(nemo, "--yaml", "out.yaml") == recipes.load(name)()


def test_overrides_mean_what_ssd_run_makes_of_them(nemo: Nemo) -> None:
    overrides = [
        "select.temperatures=[0.5,0.9]",
        "prompts.deduplicate=false",
        "train.parallel.tensor=4",
        "gate.policy=p",
    ]
    expected = apply_overrides(recipes.load("ssd_qwen3")(), overrides)
    assert settings_of(nemo, "--recipe", "ssd_qwen3", *overrides) == expected
    assert settings_of(nemo, "--yaml", "out.yaml", "seed=7") == dataclasses.replace(expected, seed=7)


def test_a_partial_yaml_lies_over_the_recipe(nemo: Nemo) -> None:
    Path("some.yaml").write_text("sampling: {temperature: 1.3}\n")
    settings = settings_of(nemo, "--recipe", "ssd_qwen3", "--yaml", "some.yaml")
    assert settings == apply_overrides(recipes.load("ssd_qwen3")(), ["sampling.temperature=1.3"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--recipe", "ssd_qwen33"], "did you mean ssd_qwen3"),
        (["--recipe", "ssd_qwen3", "samplng.temperature=1.4"], "did you mean sampling"),
        (["--recipe", "ssd_qwen3", "sampling.temperature=hot"], "allowed: a number"),
        (["--recipe", "ssd_qwen3", "sampling.temperature=9"], "0 (greedy) to 5"),
        (["--recipe", "ssd_qwen3", "--dry-rn"], "write section.key=value"),
        (["--recipe", "ssd_qwen3", "--executor", "slrum"], "did you mean slurm"),
        (["--yaml", "missing.yaml", "--recipe", "ssd_qwen3"], "missing.yaml"),
        (["--recipe", "ssd_qwen3", "container.train=nemo:25.11"], "set python.train to an interpreter"),
        (["--recipe", "ssd_qwen3", "--executor", "local"], "nvidia-smi shows none here"),
        (
            ["--recipe", "ssd_qwen3", "--executor", "slurm", "run.executor.gpus_per_node=4"],
            "1 x 4 GPUs: 4 GPUs cannot be",
        ),
    ],
)
def test_a_mistake_is_one_line_and_not_exit_0(nemo: Nemo, args: list[str], message: str) -> None:
    result = nemo(*args, "--yes")
    assert result.exit_code == 3
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_hostile_yaml_is_not_executed(nemo: Nemo) -> None:
    Path("bad.yaml").write_text("recipe: !!python/object/apply:os.system ['touch owned']\n")
    assert nemo("--recipe", "ssd_qwen3", "--yaml", "bad.yaml", "--dryrun").exit_code == 3
    assert not Path("owned").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["many", "a: &a {b: *a}\n", "[" * 5000, "a: 2026-99-99\n", "sparse"])
def test_a_yaml_without_end_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "endless.yaml"
    path.write_text(text)
    if text == "many":  # each name means four of the one before
        names = "abcdefghijkl"
        more = (f"{b}: &{b} {{p: *{a}, q: *{a}, r: *{a}, s: *{a}}}\n" for a, b in itertools.pairwise(names))
        path.write_text("a: &a {x: 1}\n" + "".join(more))
    if text == "sparse":
        os.truncate(path, 1 << 40)
    with pytest.raises(ConfigError, match=r"endless\.yaml"):
        task.read_yaml(path)


def test_the_task_takes_exactly_the_settings() -> None:
    fields = [field.name for field in dataclasses.fields(RunConfig)]
    assert list(inspect.signature(task.ssd_finetune).parameters) == ["run_dir", *fields]


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_the_exit_status_is_the_verdicts(nemo: Nemo, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[RunConfig, Path]] = []

    def run_pipeline(*args: Any) -> int:
        calls.append(args)
        return status

    monkeypatch.setattr("ssd_plugin.pipeline.rounds.run_pipeline", run_pipeline)
    assert nemo("--recipe", "ssd_qwen3", "seed=3", "--run-dir", "here", "--yes").exit_code == status
    assert calls == [(dataclasses.replace(recipes.load("ssd_qwen3")(), seed=3), Path("here"))]


def test_a_failure_of_the_line_is_one_line(nemo: Nemo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise DataError("tasks.jsonl: no such file")

    monkeypatch.setattr("ssd_plugin.pipeline.rounds.run_pipeline", fail)
    result = nemo("--recipe", "ssd_qwen3", "--yes")
    assert result.exit_code == 3
    assert "nemo: tasks.jsonl: no such file" in result.output


def test_the_check_sees_a_loaded_plugin() -> None:
    status = check_nemo()
    assert status.loaded, status.detail


def test_the_check_sees_a_plugin_that_nemo_run_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalogue.py").write_text("raise ImportError('broken on purpose')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status = check_nemo()
    assert not status.loaded
    assert "broken on purpose" in status.detail


@needs_toolkit
def test_the_toolkits_own_recipes_go_on_working(nemo: Nemo) -> None:
    result = nemo("--recipe", "llama3_8b", "trainer.max_steps=7", "--dryrun")
    assert result.exit_code == 0, result.output
    assert "max_steps=7" in result.output


@needs_toolkit
def test_a_misspelt_recipe_of_the_toolkit_is_named(nemo: Nemo) -> None:
    result = nemo("--recipe", "llama3_8bb", "--dryrun")
    assert result.exit_code == 3
    assert "did you mean llama3_8b" in result.output


@needs_toolkit
def test_every_recipe_of_the_toolkit_is_still_there() -> None:
    from nemo.collections.llm import recipes as theirs

    modules = [module for name, module in vars(theirs).items() if name in theirs.__all__ and inspect.ismodule(module)]
    tuned = {module.NAME for module in modules if "target=finetune, name=NAME)" in inspect.getsource(module)}
    assert len(tuned) > 20
    assert tuned <= command.known_recipes()


@needs_toolkit
def test_a_recipe_of_the_toolkit_reaches_its_own_training(nemo: Nemo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its objects are built and handed to nemo-toolkit's own loop, which is where we stop: it wants GPUs and weights."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("nemo.collections.llm.api.train", lambda **given: calls.append(given))
    no_gpu = ["trainer.accelerator=cpu", "model.config.apply_rope_fusion=false"]
    here = [*no_gpu, "trainer.devices=1", "trainer.max_steps=7"]
    result = nemo("--factory", "llama32_1b", *here, "--yes")
    assert result.exit_code == 0, result.output
    (given,) = calls
    assert type(given["model"]).__module__.startswith("nemo.collections.llm.")
    assert given["trainer"].max_steps == 7


@needs_toolkit
def test_the_toolkits_other_commands_are_untouched(tmp_path: Path) -> None:
    args = ["llm", "pretrain", "--factory", "llama32_1b", "trainer.max_steps=7", "--dryrun"]
    done = subprocess.run([NEMO, *args], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert "max_steps=7" in done.stdout
