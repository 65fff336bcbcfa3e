"""The job files that executors would submit, held against golden files: a NeMo-Run that writes others is seen.

To accept a change: `SSD_WRITE_GOLDEN=1 pytest tests/frameworks/test_job_files.py`, and read the difference.
"""

import dataclasses
import os
from pathlib import Path

import pytest

from ssd_plugin import recipes
from ssd_plugin.errors import ConfigError

pytestmark = pytest.mark.frameworks
pytest.importorskip("nemo_run", reason="needs nemo-run: make frameworks")

from nemo_run.config import get_nemorun_home  # noqa: E402

from ssd_plugin.nemo.render import build_executor, render  # noqa: E402

GOLDEN = Path(__file__).with_name("golden")
SLURM = ["account=research", "partition=batch", "container_image=nemo.sqsh", 'container_mounts=["/shared:/shared"]']


@pytest.fixture(autouse=True)
def readable_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """NeMo-Run packages through shell commands that read standard input; pytest's stand-in refuses that."""
    monkeypatch.setattr("sys.stdin", Path(os.devnull).open())  # noqa: SIM115 - open for the whole test


def job_files(name: str, fields: list[str]) -> str:
    files = render(recipes.load("ssd_qwen3")(), "/shared/runs/ssd_qwen3", build_executor(name, fields))
    text = "".join(f"==== {stage}\n{file}" for stage, file in files.items())
    return text.replace(get_nemorun_home(), "NEMORUN_HOME")


def test_slurm() -> None:
    golden = GOLDEN / "slurm.txt"
    text = job_files("slurm", SLURM)
    if os.environ.get("SSD_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_each_slurm_stage_waits_for_the_one_before_and_holds_its_own_gpus() -> None:
    config = recipes.load("ssd_qwen3")()
    engine = dataclasses.replace(config.engine, tensor_parallel=2, data_parallel=2)
    files = render(dataclasses.replace(config, engine=engine), "/shared/r", build_executor("slurm", SLURM))
    assert list(files) == ["sample", "train", "evaluate", "gate"]
    for stage, before in (("train", "sample"), ("evaluate", "train"), ("gate", "evaluate")):
        assert f"--dependency=afterok:JOB_OF_{before}\n" in files[stage]
    assert "--dependency" not in files["sample"]
    gpus = {stage: [line for line in file.splitlines() if "gpus-per-node" in line] for stage, file in files.items()}
    assert gpus == {
        "sample": ["#SBATCH --gpus-per-node=4"],
        "train": ["#SBATCH --gpus-per-node=8"],
        "evaluate": ["#SBATCH --gpus-per-node=4"],
        "gate": [],
    }
    assert "ssd train --run-dir /shared/r" in files["train"]
    assert "ssd run ssd_qwen3 --run-dir /shared/r" in files["gate"]


def test_the_kubernetes_executor_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="executor kubernetes: "):
        build_executor("kubernetes", [])


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("slrum", [], "no executor 'slrum'"),
        ("slurm", ["acount=research"], "acount"),
        ("slurm", ["nodes=many"], "nodes"),
    ],
)
def test_a_wrong_executor_or_field_is_named(name: str, fields: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_executor(name, fields)


@pytest.mark.parametrize("fields", [["nodes=2"], ["gpus_per_node=4"]])
def test_a_stage_that_does_not_fit_its_node_is_refused(fields: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"run\.executor"):
        render(recipes.load("ssd_qwen3")(), "/shared/r", build_executor("slurm", [*SLURM, *fields]))
