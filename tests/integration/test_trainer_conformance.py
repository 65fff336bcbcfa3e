"""What every `Trainer` promises. A backend joins by an entry in `BACKENDS`."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.core.jsonl import sha256_file, write_jsonl
from ssd_plugin.errors import TrainingError
from ssd_plugin.models.weights import check_model_dir, model_digest
from ssd_plugin.training import open_trainer
from ssd_plugin.training.embedded import EmbeddedTrainer
from ssd_plugin.training.protocol import Trainer, TrainJob

BACKENDS: dict[str, Callable[[], Trainer]] = {"embedded": lambda: open_trainer("embedded")}
CONFIG = TrainConfig(
    train_iters=8,
    warmup_iters=2,
    save_interval=3,
    max_lr=1e-2,
    min_lr=1e-3,
    global_batch_size=4,
    seq_length=96,
    clip_grad=1.0,
)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Trainer:
    """Each backend in turn."""
    return BACKENDS[request.param]()


def write_examples(path: Path, count: int = 10) -> Path:
    rng = random.Random(3)
    rows = [
        {
            "prompt_token_ids": [rng.randrange(3, 250) for _ in range(rng.randrange(1, 20))],
            "completion_token_ids": [*(rng.randrange(3, 60) for _ in range(rng.randrange(1, 25))), 2],
        }
        for _ in range(count)
    ]
    write_jsonl(path, rows)
    return path


def make_job(folder: Path, model: Path, **changes: object) -> TrainJob:
    folder.mkdir(parents=True, exist_ok=True)
    examples = write_examples(folder / "examples.jsonl")
    return TrainJob(
        base_model=model,
        base_digest=model_digest(model),
        examples=examples,
        work=folder / "work",
        output=folder / "out",
        seed=5,
        config=replace(CONFIG, **changes),
    )


def log_rows(job: TrainJob) -> list[dict[str, float]]:
    return [json.loads(line) for line in (job.work / "log.jsonl").read_text().splitlines()]


def curve(job: TrainJob) -> list[tuple[float, ...]]:
    """All of the log that must be the same in every run of a job."""
    return [tuple(row[key] for key in ("step", "loss", "lr", "grad_norm", "tokens")) for row in log_rows(job)]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_result_is_a_whole_model_that_learned(
    backend: Trainer, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    job = make_job(tmp_path, tiny_model, method=method)
    summary = backend.train(job)
    check_model_dir(job.output)
    assert summary.steps == CONFIG.train_iters
    assert summary.last_loss < summary.first_loss
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (job.output / name).read_bytes() == (tiny_model / name).read_bytes()
    AutoTokenizer.from_pretrained(job.output)
    trained, base = (AutoModelForCausalLM.from_pretrained(path) for path in (job.output, tiny_model))
    assert trained.dtype == base.dtype
    changed = [n for n, p in trained.named_parameters() if not torch.equal(p, base.get_parameter(n))]
    assert changed
    assert not any("lora" in name for name, _ in trained.named_parameters())
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7]])
        assert not torch.allclose(trained(ids).logits, base(ids).logits)


def test_the_log_says_what_each_step_did(backend: Trainer, tiny_llama: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_llama)
    summary = backend.train(job)
    rows = log_rows(job)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert sum(row["tokens"] for row in rows) == summary.tokens
    assert [row["lr"] for row in rows[:3]] == pytest.approx([0.0, 5e-3, 1e-2])
    assert rows[5]["lr"] == pytest.approx(1e-3 + 9e-3 / 2)  # half of the cosine
    assert all(row["grad_norm"] > 0 and row["seconds"] > 0 for row in rows)
    assert (rows[0]["loss"], rows[-1]["loss"]) == (summary.first_loss, summary.last_loss)


def test_first_loss_is_the_token_mean_over_the_global_batch(backend: Trainer, tiny_model: Path, tmp_path: Path) -> None:
    """All ten examples are one batch, so the first loss does not depend on the order."""
    job = make_job(tmp_path, tiny_model, global_batch_size=10, train_iters=2, warmup_iters=0)
    summary = backend.train(job)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    total, count = 0.0, 0
    for line in job.examples.read_text().splitlines():
        row = json.loads(line)
        prompt, completion = row["prompt_token_ids"], row["completion_token_ids"]
        with torch.no_grad():
            logprobs = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        total -= float(logprobs.gather(-1, torch.tensor(completion)[:, None]).sum())
        count += len(completion)
    assert summary.first_loss == pytest.approx(total / count, rel=1e-4)
    assert summary.tokens == 2 * count


def test_a_second_run_is_the_same_to_the_bit(backend: Trainer, tiny_llama: Path, tmp_path: Path) -> None:
    first, second = make_job(tmp_path / "a", tiny_llama), make_job(tmp_path / "b", tiny_llama)
    backend.train(first)
    backend.train(second)
    assert curve(first) == curve(second)
    assert sha256_file(first.output / "model.safetensors") == sha256_file(second.output / "model.safetensors")


def train_until_killed(job: TrainJob, name: str, rows: int) -> None:
    """Train in a process that dies by SIGKILL once its log has so many rows."""
    child = multiprocessing.get_context("fork").Process(target=lambda: BACKENDS[name]().train(job))
    child.start()
    log = job.work / "log.jsonl"
    while child.is_alive() and not (log.is_file() and len(log.read_bytes().splitlines()) >= rows):
        time.sleep(0.002)
    child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)


@pytest.mark.parametrize(("method", "kills"), [("full", (2, 5, 8)), ("lora", (4,))])
@pytest.mark.parametrize("name", BACKENDS)
def test_killed_at_any_step_it_ends_the_same_to_the_bit(
    name: str, method: str, kills: tuple[int, ...], tiny_qwen3: Path, tmp_path: Path
) -> None:
    whole = make_job(tmp_path / "whole", tiny_qwen3, method=method)
    BACKENDS[name]().train(whole)
    broken = make_job(tmp_path / "broken", tiny_qwen3, method=method)
    for rows in kills:
        train_until_killed(broken, name, rows)
    BACKENDS[name]().train(broken)
    assert curve(broken) == curve(whole)
    assert sha256_file(broken.output / "model.safetensors") == sha256_file(whole.output / "model.safetensors")


def test_what_a_kill_left_half_written_is_not_used(backend: Trainer, tiny_llama: Path, tmp_path: Path) -> None:
    whole, broken = make_job(tmp_path / "a", tiny_llama), make_job(tmp_path / "b", tiny_llama)
    backend.train(whole)
    if not isinstance(backend, EmbeddedTrainer):
        pytest.skip("knows the embedded backend's files")
    train_until_killed(broken, "embedded", 5)
    unsealed = broken.work / "checkpoint-6"
    shutil.rmtree(unsealed, ignore_errors=True)
    shutil.copytree(broken.work / "checkpoint-3", unsealed)
    (unsealed / "sealed.json").unlink()
    (unsealed / "model.safetensors").write_bytes(b"half")
    with (broken.work / "log.jsonl").open("a") as stream:
        stream.write('{"step": 6, "loss": 1')
    backend.train(broken)
    assert curve(broken) == curve(whole)
    assert sha256_file(broken.output / "model.safetensors") == sha256_file(whole.output / "model.safetensors")


def test_a_job_that_is_done_is_not_done_again(backend: Trainer, tiny_llama: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_llama)
    first = backend.train(job)
    before = (job.output / "model.safetensors").stat().st_mtime_ns
    assert backend.train(job) == first
    assert (job.output / "model.safetensors").stat().st_mtime_ns == before


def test_settings_that_changed_start_anew(backend: Trainer, tiny_llama: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "a", tiny_llama)
    backend.train(job)
    changed = replace(job, config=replace(job.config, max_lr=5e-3))
    backend.train(changed)
    fresh = make_job(tmp_path / "b", tiny_llama, max_lr=5e-3)
    backend.train(fresh)
    assert curve(changed) == curve(fresh)
    assert sha256_file(changed.output / "model.safetensors") == sha256_file(fresh.output / "model.safetensors")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no examples"),
        ([{"prompt_token_ids": [5], "completion_token_ids": []}], "completion_token_ids"),
        ([{"prompt_token_ids": [], "completion_token_ids": [5]}], "prompt_token_ids"),
        ([{"prompt_token_ids": [5], "completion_token_ids": [5000]}], "vocabulary"),
        ([{"prompt_token_ids": [5] * 90, "completion_token_ids": [5] * 10}], "does not fit train.seq_length"),
    ],
)
def test_examples_that_cannot_be_trained_on_are_named(
    backend: Trainer, tiny_llama: Path, tmp_path: Path, rows: list[dict[str, list[int]]], message: str
) -> None:
    job = make_job(tmp_path, tiny_llama)
    write_jsonl(job.examples, rows)
    with pytest.raises(TrainingError, match=message):
        backend.train(job)
    assert not job.output.exists()


def test_a_loss_that_is_not_finite_stops_the_run(backend: Trainer, tiny_llama: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_llama, max_lr=0.9, min_lr=0.9, warmup_iters=0, clip_grad=0.0, train_iters=200)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        model.model.norm.weight.fill_(1e38)
    broken = tmp_path / "broken"
    model.save_pretrained(broken)
    for file in tiny_llama.glob("*"):
        if file.suffix != ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    with pytest.raises(TrainingError):
        backend.train(replace(job, base_model=broken))
    assert not job.output.exists()
