"""Real Megatron-Bridge and megatron-core on the CPU (gloo, test-only shim): our trainer, ranks, export and its comparison."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from ssd_plugin.config import ParallelConfig, TrainConfig
from ssd_plugin.training.megatron import MegatronTrainer
from ssd_plugin.training.protocol import TrainJob

pytestmark = pytest.mark.frameworks
pytest.importorskip("megatron.core", reason="needs megatron-core and Megatron-Bridge: make frameworks")
if importlib.util.find_spec("megatron.bridge") is None:
    pytest.skip("needs Megatron-Bridge: make frameworks", allow_module_level=True)

CPU = Path(__file__).with_name("megatron_cpu")
sys.path.insert(0, str(CPU))
import tiny  # noqa: E402


def losses(folder: Path, kind: str, ranks: int, parallel: ParallelConfig) -> list[float]:
    """Train six steps and give each one's loss; the trainer has compared the exported model with Megatron's."""
    config = TrainConfig(
        backend="megatron", train_iters=6, warmup_iters=1, save_interval=3, max_lr=1e-3, min_lr=1e-4, global_batch_size=4,
        seq_length=64, parallel=parallel,
    )  # fmt: skip
    job = TrainJob(
        base_model=tiny.save(folder / "base", kind), examples=tiny.write_examples(folder / "kept.jsonl"),
        work=folder / "work", output=folder / "out", seed=3, config=config,
    )  # fmt: skip
    summary = MegatronTrainer(ranks=ranks, program=(str(CPU / "ranks.py"),)).train(job)
    assert summary.last_loss < summary.first_loss
    assert (job.output / "model.safetensors").is_file()
    return [json.loads(line)["loss"] for line in (job.work / "log.jsonl").read_text().splitlines()]


def test_tensor_and_data_parallel_ranks_give_the_single_ranks_losses(tmp_path: Path) -> None:
    alone = losses(tmp_path / "one", "qwen3", 1, ParallelConfig())
    assert losses(tmp_path / "tensor", "qwen3", 2, ParallelConfig(tensor=2)) == pytest.approx(alone, abs=1e-4)
    assert losses(tmp_path / "data", "qwen3", 2, ParallelConfig()) == pytest.approx(alone, abs=1e-4)


def test_llama_trains(tmp_path: Path) -> None:
    losses(tmp_path, "llama", 1, ParallelConfig())
