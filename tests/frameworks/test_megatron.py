"""Real Megatron-Bridge and megatron-core on the CPU (gloo, test-only shim), through our trainer, ranks and export.

Tiny random models, six steps. What a CPU cannot do (context and sequence parallelism, Transformer Engine's packed attention,
experts' all-to-all) is in test_megatron_on_gpu.py.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from ssd_plugin import recipes
from ssd_plugin.config.schema import ParallelConfig, TrainConfig
from ssd_plugin.core.gpus import NODES
from ssd_plugin.errors import TrainingError
from ssd_plugin.models.weights import model_digest
from ssd_plugin.training.megatron import MegatronTrainer, trainer
from ssd_plugin.training.megatron.job import EXPORTED, job_to_json
from ssd_plugin.training.megatron.nodes import Node, work_together
from ssd_plugin.training.protocol import TrainJob

pytestmark = pytest.mark.frameworks
if not importlib.util.find_spec("megatron") or not importlib.util.find_spec("megatron.bridge"):
    pytest.skip("needs Megatron-Bridge: make frameworks", allow_module_level=True)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

HERE = Path(__file__).with_name("megatron_cpu")
sys.path.insert(0, str(HERE))
import tiny  # noqa: E402
import warm  # noqa: E402

EMBEDDED_PYTHON = Path(__file__).parents[2] / ".venv/bin/python"
SAME = 2e-4  # nats a label: float32 sums in another order
STEPS = 6


@pytest.fixture(scope="session", autouse=True)
def warm_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One process that has Megatron imported; every rank of these tests is forked from it."""
    path = tmp_path_factory.mktemp("warm") / "socket"
    command = [sys.executable, str(HERE / "warm.py"), str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as server:
        deadline = time.monotonic() + 1500
        while not path.exists():
            assert server.poll() is None, "the server of warm ranks did not start"
            assert time.monotonic() < deadline, "the server of warm ranks took too long"
            time.sleep(0.2)
        os.environ[warm.SOCKET] = str(path)
        yield
        del os.environ[warm.SOCKET]
        server.kill()


def make_job(folder: Path, kind: str, **changes: Any) -> TrainJob:
    """Six steps of a tiny model of that kind; `changes`: training settings."""
    settings: dict[str, Any] = {
        "train_iters": STEPS, "warmup_iters": 1, "save_interval": 3, "max_lr": 5e-3, "min_lr": 1e-3,
        "global_batch_size": 8, "seq_length": 64,
    }  # fmt: skip
    config = TrainConfig(backend="megatron", **settings | changes)
    # Expert-parallel ranks hold different rows, and on a CPU (all-gather, not all-to-all) those must be equally long.
    equal: dict[str, Any] = {"prompt": (6, 7), "completion": (9, 10)} if kind == "qwen3_moe" else {}
    base = tiny.save(folder / "base", kind)
    return TrainJob(
        base_model=base, base_digest=model_digest(base), examples=tiny.write_examples(folder / "kept.jsonl", **equal),
        work=folder / "work", output=folder / "out", seed=3, config=config,
    )  # fmt: skip


def train(job: TrainJob, ranks: int = 1) -> list[float]:
    """Each step's loss; the trainer has compared the exported model's logits with Megatron's."""
    MegatronTrainer(ranks=ranks, program=(str(HERE / "warm.py"),)).train(job)
    rows = [json.loads(line) for line in (job.work / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, job.config.train_iters + 1))
    return [row["loss"] for row in rows]


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TrainJob, list[float]]]:
    """A kind's job on one rank, and its losses: what the others are compared with."""

    @functools.cache
    def once(kind: str) -> tuple[TrainJob, list[float]]:
        job = make_job(tmp_path_factory.mktemp(kind), kind)
        return job, train(job)

    return once


def weights(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    assert files
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_loss_goes_down(alone: Callable[[str], Any], kind: str) -> None:
    job, losses = alone(kind)
    assert losses[-1] < losses[0] - 0.1
    base, trained = weights(job.base_model), weights(job.output)
    assert base.keys() == trained.keys()
    assert [name for name in base if torch.equal(base[name], trained[name])] == []


@pytest.mark.parametrize(
    ("kind", "parallel"),
    [
        ("qwen3", {"tensor": 2}),
        ("qwen3", {"pipeline": 2}),
        ("qwen3", {}),  # data parallel
        ("llama", {"tensor": 2}),
        ("llama", {"pipeline": 2}),
        ("qwen3_moe", {"expert": 2}),
        ("qwen3_moe", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value), "data"),
)
def test_two_ranks_give_the_losses_of_one(
    alone: Callable[[str], Any], tmp_path: Path, kind: str, parallel: dict[str, int]
) -> None:
    _, expected = alone(kind)
    job = make_job(tmp_path, kind, parallel=ParallelConfig(**parallel))
    assert train(job, 2) == pytest.approx(expected, abs=SAME)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_way_to_megatron_and_back_changes_no_weight(tmp_path: Path, kind: str) -> None:
    job = make_job(tmp_path, kind, train_iters=1, warmup_iters=0, max_lr=1e-30, min_lr=0, weight_decay=0)
    train(job)
    base, back = weights(job.base_model), weights(job.output)
    assert base.keys() == back.keys()
    # The padding token's embedding is all zeros, to which even a step of 1e-30 adds something.
    assert [name for name in base if not torch.allclose(base[name], back[name], rtol=0, atol=1e-20)] == []


def test_a_run_that_died_ends_as_one_that_did_not(alone: Callable[[str], Any], tmp_path: Path) -> None:
    whole, expected = alone("qwen3")
    job = make_job(tmp_path, "qwen3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.DIE_AFTER, "5")
        with pytest.raises(TrainingError):
            train(job)
    assert not job.output.exists()
    assert train(job) == expected
    steps = [json.loads(line)["step"] for line in (job.work / "steps.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6]  # from the checkpoint after the third step
    first, second = weights(whole.output), weights(job.output)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_packed_rows_give_the_losses_of_single_ones(tmp_path: Path) -> None:
    """With the attention mask written out: attention that knows packed rows needs Transformer Engine and a GPU."""
    found = {}
    for unit, size in (("samples", 8), ("packs", 2)):
        job = make_job(tmp_path / unit, "qwen3", batch_unit=unit, global_batch_size=size)
        tiny.write_examples(job.examples, prompt=(6, 7), completion=(9, 10))  # 16 tokens each: four fill a row
        found[unit] = train(job)
    assert found["packs"] == pytest.approx(found["samples"], abs=SAME)


@pytest.mark.skipif(not EMBEDDED_PYTHON.exists(), reason="needs the embedded backend's environment: make install")
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_the_embedded_backend_gives_the_same_losses(alone: Callable[[str], Any], tmp_path: Path, kind: str) -> None:
    job, expected = alone(kind)
    values = job_to_json(job) | {"work": str(tmp_path / "work"), "output": str(tmp_path / "out")}
    (tmp_path / "job.json").write_text(json.dumps(values))
    command = [str(EMBEDDED_PYTHON), str(HERE / "embedded.py"), str(tmp_path / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-3)


def test_an_export_that_lost_a_weight_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "qwen3", train_iters=1, warmup_iters=0)
    whole = trainer.run_ranks

    def spoiled(job: TrainJob, *rest: Any) -> None:
        whole(job, *rest)
        (file,) = (job.work / EXPORTED).glob("*.safetensors")
        tensors = load_file(file)
        name = "model.layers.1.self_attn.q_proj.weight"
        tensors[name] = tensors[name].roll(16, 0).contiguous()  # every head in its neighbour's place
        save_file(tensors, file, metadata={"format": "pt"})

    monkeypatch.setattr(trainer, "run_ranks", spoiled)
    with pytest.raises(TrainingError, match="not the trained one: logits of the middle token differ"):
        train(job)
    assert not job.output.exists()


def test_a_wrong_export_is_refused_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "qwen3")
    monkeypatch.setenv(warm.SPOIL_REHEARSAL, "1")
    with pytest.raises(
        TrainingError, match="before the first step, the exported model is not the one in memory: logits"
    ):
        train(job)
    assert not (job.work / "steps.jsonl").exists()
    assert not (job.work / "rehearsed.json").exists()
    assert not job.output.exists()


def sliced(*mode: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(HERE / "slices.py"), *mode]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def test_a_context_parallel_rank_takes_its_two_chunks_of_a_sequence() -> None:
    """The group of four is asked, not the world of eight."""
    done = sliced()
    assert done.returncode == 0, done.stderr[-2000:]
    chunks = [list(range(4 * i, 4 * i + 4)) for i in range(8)]
    assert json.loads(done.stdout.splitlines()[-1]) == [chunks[rank] + chunks[7 - rank] for rank in range(4)]


@pytest.mark.skipif(Version(version("megatron-bridge")) < Version("0.6"), reason="written for the newest pair")
@pytest.mark.parametrize("recipe", [n for n in recipes.names() if n != "ssd_qwen3" and not n.endswith("smollm2_135m")])
def test_each_recipes_configuration_is_valid_on_eight_gpus(recipe: str, tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "validate.py"), recipe, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    parallel = recipes.load(recipe)().train.parallel
    assert (found["context"], found["expert"]) == (parallel.context, parallel.expert)
    assert found["data_parallel"] == 8 // parallel.context
    assert found["exchange"] == ("a2a" if "gpt_oss" in recipe else "p2p")
    assert found["per_token"]
    assert not found["average"]
    assert found["recompute"] is None


@pytest.mark.skipif(Version(version("megatron-core")) < Version("0.18"), reason="megatron-core 0.18 brought the flag")
def test_without_the_flag_the_export_would_end_in_an_error() -> None:
    done = sliced("bare")
    assert done.returncode
    assert "missing 1 required positional argument: 'is_hybrid_cp'" in done.stderr


def test_a_number_of_ranks_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path, "qwen3", parallel=ParallelConfig(tensor=2))
    with pytest.raises(TrainingError, match="multiple of tensor x pipeline"):
        train(job, ranks=3)


@pytest.mark.parametrize("parallel", [{}, {"tensor": 2}], ids=["data", "tensor"])
def test_two_nodes_give_the_losses_of_one(
    alone: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: dict[str, int]
) -> None:
    """Both on this machine, a rank each: the second waits for the first one's call and starts a torchrun of its own."""
    monkeypatch.setenv(NODES, "1")  # which the first node changes
    _, expected = alone("qwen3")
    job = dataclasses.replace(
        make_job(tmp_path, "qwen3", parallel=ParallelConfig(**parallel)), work=tmp_path / "run/train"
    )
    found: list[float] = []
    first, second = (Node(rank=rank, count=2, address="127.0.0.1") for rank in (0, 1))
    with ThreadPoolExecutor() as pool:
        lending = pool.submit(work_together, second, tmp_path / "run", lambda: None)
        work_together(first, tmp_path / "run", lambda: found.extend(train(job)))
        lending.result()
    assert found == pytest.approx(expected, abs=SAME)
    assert (job.work / "ranks-1.log").exists()
