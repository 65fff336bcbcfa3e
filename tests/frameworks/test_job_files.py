"""The job files that executors would submit, held against golden files: a NeMo-Run that writes others is seen.

To accept a change: `SSD_WRITE_GOLDEN=1 pytest tests/frameworks/test_job_files.py`, and read the difference.
"""

import dataclasses
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ssd_plugin import recipes
from ssd_plugin.commands import plan
from ssd_plugin.config import ContainerConfig
from ssd_plugin.errors import ConfigError

pytestmark = pytest.mark.frameworks
pytest.importorskip("nemo_run", reason="needs nemo-run: make frameworks")

from nemo_run.config import get_nemorun_home  # noqa: E402

from ssd_plugin.nemo import executors  # noqa: E402
from ssd_plugin.nemo.check import require_nemo  # noqa: E402
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


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig of a cluster that is never asked anything."""
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    if importlib.util.find_spec("kubernetes"):  # which reads the variable once, when it is imported
        place = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
        monkeypatch.setattr(place, str(tmp_path / "kubeconfig"))
    return tmp_path


def require(name: str) -> None:
    """Skip where the executor's packages are not installed."""
    if name == "kubernetes" and executors.KubeflowExecutor is None:
        pytest.skip("NeMo-Run before 0.11 has no Kubeflow executor")
    for package in {"kubernetes": ["kubernetes"], "skypilot": ["sky"]}.get(name, []):
        pytest.importorskip(package, reason=f"needs the package {package}: the environment of frameworks-bridge.txt")


def held_against(golden: Path, text: str) -> None:
    if os.environ.get("SSD_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


CASES = {
    "slurm": SLURM,
    "kubernetes": [
        "image=nvcr.io/nvidia/nemo:25.11",
        'volumes=[{"name": "shared", "persistentVolumeClaim": {"claimName": "runs"}}]',
        'volume_mounts=[{"name": "shared", "mountPath": "/shared"}]',
    ],
    "skypilot": [
        "cloud=kubernetes",
        "container_image=docker:nvcr.io/nvidia/nemo:25.11",
        'file_mounts={"/shared": "/shared"}',
    ],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("cluster")
def test_what_would_be_submitted(name: str) -> None:
    require(name)
    held_against(GOLDEN / f"{name}.txt", job_files(name, CASES[name]))


NODES = {"slurm": "nodes", "kubernetes": "num_nodes", "skypilot": "num_nodes"}
WRITTEN = {"slurm": "#SBATCH --nodes=", "kubernetes": "numNodes: ", "skypilot": "num_nodes: "}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("cluster")
def test_training_goes_over_several_nodes_and_no_other_stage(name: str) -> None:
    require(name)
    executor = build_executor(name, [*CASES[name], f"{NODES[name]}=2"])
    files = render(recipes.load("ssd_qwen3")(), "/shared/runs/ssd_qwen3", executor)
    counts = {stage: file.partition(WRITTEN[name])[2].split()[0] for stage, file in files.items()}
    assert counts == {"sample": "1", "train": "2", "evaluate": "1", "gate": "1"}
    held_against(GOLDEN / f"{name}-two-nodes.txt", files["train"].replace(get_nemorun_home(), "NEMORUN_HOME"))


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


def test_several_nodes_for_a_backend_that_trains_on_one_are_refused() -> None:
    executor = build_executor("slurm", [*SLURM, "nodes=2"])
    with pytest.raises(ConfigError, match=r"run\.executor\.nodes = 2: train\.backend = embedded trains on one node"):
        render(recipes.load("ssd_smollm2_135m")(), "/shared/r", executor)


def test_a_run_without_gpus_asks_for_none() -> None:
    files = render(
        recipes.load("ssd_smollm2_135m")(), "/shared/r", build_executor("slurm", [*SLURM, "gpus_per_node=0"])
    )
    assert not [line for file in files.values() for line in file.splitlines() if "gpus" in line]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("cluster")
def test_a_stages_own_container(name: str) -> None:
    require(name)
    containers = ContainerConfig(sample="docker:vllm:one", train="docker:nemo:two")
    config = dataclasses.replace(recipes.load("ssd_qwen3")(), container=containers)
    files = render(config, "/shared/r", build_executor(name, CASES[name]))
    found = {stage: [image for image in ("vllm:one", "nemo:two") if image in file] for stage, file in files.items()}
    assert found == {"sample": ["vllm:one"], "train": ["nemo:two"], "evaluate": ["vllm:one"], "gate": []}
    assert (
        sum("nemo:25.11" in file or "nemo.sqsh" in file for file in files.values()) == 1
    )  # the gate: the executor's own


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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            ["nodes=3"],
            r"with run\.executor's 3 x 8 GPUs: train\.global_batch_size = 32 cannot be divided by the 3 data",
        ),
        (
            ["gpus_per_node=4"],
            r"with run\.executor's 1 x 4 GPUs: 4 GPUs cannot be divided .* = 8 does not divide 4 GPUs",
        ),
        (["gpus_per_node=0"], r"need GPUs: raise run\.executor\.gpus_per_node"),
    ],
)
def test_a_run_that_does_not_fit_its_nodes_is_refused(fields: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(recipes.load("ssd_qwen3")(), "/shared/r", build_executor("slurm", [*SLURM, *fields]))


def planned(*fields: str, assumed: str = "") -> dict[str, Any]:
    """`ssd plan` with a Slurm executor's fields, as its JSON document."""
    require_nemo()  # imports nemo-toolkit where it is there, which wants a real standard output
    options = [part for field in (*SLURM, *fields) for part in ("--executor-set", field)]
    options += ["--assume", assumed] if assumed else []
    result = CliRunner().invoke(plan.command, ["ssd_qwen3", "--json", "--executor", "slurm", *options])
    document: dict[str, Any] = json.loads(result.stdout)
    assert isinstance(result.exception, ConfigError) == bool(document["problems"])
    return document


@pytest.mark.parametrize(
    ("fields", "assumed", "gpus", "nodes"),
    [((), "", 8, 1), (("nodes=2",), "", 8, 2), (("gpus_per_node=16",), "", 16, 1), (("nodes=2",), "nodes=4", 8, 4)],
)
def test_a_plan_counts_with_the_executors_gpus_and_nodes(
    fields: tuple[str, ...], assumed: str, gpus: int, nodes: int
) -> None:
    document = planned(*fields, assumed=assumed)
    assert (document["assumptions"]["gpus"], document["assumptions"]["nodes"]) == (gpus, nodes)
    assert set(document["job_files"]) == {"sample", "train", "evaluate", "gate"}


def test_a_plan_of_an_executor_that_cannot_hold_the_run_has_problems_and_no_job_files() -> None:
    document = planned("gpus_per_node=4")
    assert document["assumptions"]["gpus"] == 4
    assert any("does not divide 4 GPUs" in problem for problem in document["problems"])
    assert document["job_files"] == {}
