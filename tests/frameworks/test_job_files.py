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
from ssd_plugin.cli import plan
from ssd_plugin.config.schema import ContainerConfig
from ssd_plugin.errors import ConfigError

pytestmark = pytest.mark.frameworks
pytest.importorskip("nemo_run", reason="needs nemo-run: make frameworks")

from nemo_run.config import get_nemorun_home  # noqa: E402

from ssd_plugin.integrations.nemo import executors  # noqa: E402
from ssd_plugin.integrations.nemo.check import require_nemo  # noqa: E402
from ssd_plugin.integrations.nemo.node import PASSED  # noqa: E402
from ssd_plugin.integrations.nemo.render import build_executor, render  # noqa: E402

GOLDEN = Path(__file__).with_name("golden")
SLURM = ["account=research", "partition=batch", "container_image=nemo.sqsh", 'container_mounts=["/shared:/shared"]']


@pytest.fixture(autouse=True)
def readable_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """NeMo-Run packages through shell commands that read standard input; pytest's stand-in refuses that."""
    monkeypatch.setattr("sys.stdin", Path(os.devnull).open())  # noqa: SIM115 - open for the whole test


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", *PASSED):
        monkeypatch.delenv(name, raising=False)


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


POD_SPEC = {
    "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": "runs"}}],
    "containers": [{"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
}
CASES = {
    "slurm": SLURM,
    "kubernetes": [
        "image=nvcr.io/nvidia/nemo:26.08",
        'volumes=[{"name": "shared", "persistentVolumeClaim": {"claimName": "runs"}}]',
        'volume_mounts=[{"name": "shared", "mountPath": "/shared"}]',
    ],
    "skypilot": [
        "cloud=kubernetes",
        "container_image=docker:nvcr.io/nvidia/nemo:26.08",
        f"cluster_config_overrides={json.dumps({'kubernetes': {'pod_config': {'spec': POD_SPEC}}})}",
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
    assert counts == {"prompts": "1", "sample": "1", "train": "2", "evaluate": "1", "gate": "1"}
    held_against(GOLDEN / f"{name}-two-nodes.txt", files["train"].replace(get_nemorun_home(), "NEMORUN_HOME"))


def test_each_slurm_stage_waits_for_the_one_before_and_holds_its_own_gpus() -> None:
    config = recipes.load("ssd_qwen3")()
    engine = dataclasses.replace(config.engine, tensor_parallel=2, data_parallel=2)
    files = render(dataclasses.replace(config, engine=engine), "/shared/r", build_executor("slurm", SLURM))
    assert list(files) == ["prompts", "sample", "train", "evaluate", "gate"]
    for stage, before in (("sample", "prompts"), ("train", "sample"), ("evaluate", "train"), ("gate", "evaluate")):
        assert f"--dependency=afterok:JOB_OF_{before}\n" in files[stage]
    assert "--dependency" not in files["prompts"]
    gpus = {stage: [line for line in file.splitlines() if "gpus-per-node" in line] for stage, file in files.items()}
    assert gpus == {
        "prompts": [],
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
    assert found == {
        "prompts": [], "sample": ["vllm:one"], "train": ["nemo:two"], "evaluate": ["vllm:one"], "gate": [],
    }  # fmt: skip
    own = [stage for stage, file in files.items() if "nemo:26.08" in file or "nemo.sqsh" in file]
    assert own == ["prompts", "gate"]  # the executor's


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
            ["nodes=40"],
            r"with run\.executor's 40 x 8 GPUs: train\.global_batch_size = 32 is less than one row for each of the 40 data",
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
    assert set(document["job_files"]) == {"prompts", "sample", "train", "evaluate", "gate"}


def test_a_plan_of_an_executor_that_cannot_hold_the_run_has_problems_and_no_job_files() -> None:
    document = planned("gpus_per_node=4")
    assert document["assumptions"]["gpus"] == 4
    assert any("does not divide 4 GPUs" in problem for problem in document["problems"])
    assert document["job_files"] == {}


GPU_STAGES = {"sample", "train", "evaluate"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("cluster")
def test_a_job_asks_for_what_it_will_use(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an administrator looks for: whole nodes for GPU stages and none for the others, memory, processors, shared memory,
    caches on shared storage, the network interface as given, no secret in the file."""
    require(name)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "bond0")
    files = render(recipes.load("ssd_qwen3")(), "/shared/runs/ssd_qwen3", build_executor(name, CASES[name]))
    assert len(files) == 5
    for stage, file in files.items():
        for text in ("/shared/runs/cache/huggingface", "/shared/runs/cache/vllm", "NCCL_SOCKET_IFNAME", "bond0"):
            assert text in file, (stage, text)
        assert "hf_secret" not in file
        on_gpus = stage in GPU_STAGES
        if name == "slurm":
            assert ("#SBATCH --exclusive" in file) == ("#SBATCH --mem=0" in file) == on_gpus
            assert "export SRUN_CPUS_PER_TASK=${SLURM_CPUS_ON_NODE:-1}" in file
            assert "--no-container-mount-home --container-writable" in file
        if name == "kubernetes":
            assert "mountPath: /dev/shm" in file
            assert "medium: Memory" in file
            assert "secretKeyRef" in file
            assert ("cpu: '64'" in file) == ("memory: 512Gi" in file) == on_gpus
            assert ("nvidia.com/gpu" in file) == on_gpus


def test_what_the_user_asks_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models/hf")
    executor = build_executor("slurm", [*SLURM, "mem=400G", "exclusive=user", 'srun_args=["--mpi=pmix"]'])
    files = render(recipes.load("ssd_qwen3")(), "/shared/runs/ssd_qwen3", executor)
    assert "#SBATCH --mem=400G" in files["train"]
    assert "#SBATCH --exclusive=user" in files["train"]
    assert "--mpi=pmix" in files["train"]
    assert "--container-writable" not in files["train"]
    assert "export HF_HOME=/models/hf" in files["train"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nvcr.io/nvidia/nemo:25.11", r"the job of sample: .* has no vllm that fits; known: 26\.04, 26\.06, 26\.08"),
        ("nvcr.io/nvidia/nemo:26.02.01", "has no vllm that fits"),
        ("nvcr.io/nvidia/nemo:26.08", ""),
        ("registry.local/ours:7", ""),
    ],
)
def test_a_container_that_cannot_run_its_stage_is_refused(image: str, message: str) -> None:
    executor = build_executor("slurm", [*SLURM, f"container_image={image}"])
    if message:
        with pytest.raises(ConfigError, match=message):
            render(recipes.load("ssd_qwen3")(), "/shared/r", executor)
    else:
        assert image in render(recipes.load("ssd_qwen3")(), "/shared/r", executor)["train"]


@pytest.mark.usefixtures("cluster")
def test_storage_that_is_only_copied_is_refused() -> None:
    require("skypilot")
    executor = build_executor("skypilot", ["cloud=kubernetes", 'file_mounts={"/shared": "/shared"}'])
    with pytest.raises(ConfigError, match="file_mounts copies /shared"):
        render(recipes.load("ssd_qwen3")(), "/shared/runs/ssd_qwen3", executor)
