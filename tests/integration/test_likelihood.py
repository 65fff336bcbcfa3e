"""The likelihood of human code under real (tiny) networks: what is computed, and that the gate sees a damaged model."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_model

from ssd_plugin.errors import ModelError
from ssd_plugin.gates import domain_shift
from ssd_plugin.gating import corpus
from ssd_plugin.gating.gate import GateContext
from ssd_plugin.gating.likelihood import nats_per_character
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.verdict import GateStatus, Measurement

TEXTS = ["def add(a, b):\n    return a + b\n", "for i in range(10):\n    print(i)\n"]


def damaged(model: Path, target: Path, noise: float) -> Path:
    """A copy of a model with noise of this size, as a share of each tensor's spread, on every weight."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, target)
    generator = torch.Generator().manual_seed(3)
    weights = load_file(target / "model.safetensors")
    for name, tensor in weights.items():
        spread = tensor.std() if tensor.numel() > 1 else torch.tensor(0.0)
        weights[name] = tensor + noise * spread * torch.randn(tensor.shape, generator=generator)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that has learnt a little code, so that damage can make it worse."""
    import ast

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = save_model(tmp_path_factory.mktemp("likelihood") / "model", "llama", max_position_embeddings=512)
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    texts = [ast.unparse(tree) for tree in corpus.functions("", 40)]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for text in texts * 2:
        tokens = tokenizer(text, return_tensors="pt")["input_ids"][:, :256]
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(path)
    return path


def test_it_is_the_sum_of_the_token_losses_over_the_characters(trained: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(trained), AutoModelForCausalLM.from_pretrained(trained)
    for text, found in zip(TEXTS, nats_per_character(trained, TEXTS), strict=True):
        tokens = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            mean = float(model(tokens, labels=tokens).loss)
        assert found == pytest.approx(mean * (tokens.shape[1] - 1) / len(text), rel=1e-4)
        assert 0 < found < math.log(300) * tokens.shape[1] / len(text)


def figure(baseline: Path | None, model: Path | None, documents: int = 24) -> Measurement:
    nothing: Any = None
    context = GateContext(
        tasks=(), baseline=nothing, candidate=nothing, origin=None, model=model, baseline_model=baseline, training=(),
        tasks_path=Path(), work=Path(), alpha=0.025, sandbox="landlock", memo=ProgramMemo(),
    )  # fmt: skip
    settings = domain_shift.Settings(nll_documents=documents)
    return domain_shift._likelihood(context, settings, corpus.functions("", 400))


@pytest.mark.parametrize(
    ("noise", "status"), [(0.3, GateStatus.BREACH), (0.001, GateStatus.PASS), (0.0, GateStatus.INSUFFICIENT)]
)
def test_a_damaged_model_breaches_and_a_retouched_one_does_not(
    trained: Path, tmp_path: Path, noise: float, status: GateStatus
) -> None:
    found = figure(trained, damaged(trained, tmp_path / "new", noise))
    assert found.status is status, found
    assert (found.tasks, found.less_is_better) == (24, True)
    assert (found.low is None) is (noise == 0), "no spread, no interval"


def test_without_both_models_it_is_not_measured(trained: Path) -> None:
    for pair in ((None, trained), (trained, None)):
        found = figure(*pair)
        assert (found.candidate, found.status) == (None, GateStatus.INSUFFICIENT)


@pytest.mark.parametrize("what", ["no weights", "pickle only", "nan"])
def test_a_model_that_cannot_be_read_as_data_is_an_error_by_name(trained: Path, tmp_path: Path, what: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(trained, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    (broken / "model.safetensors").unlink()
    if what == "pickle only":
        torch.save(weights, broken / "pytorch_model.bin")
    elif what == "nan":
        save_file(
            {name: tensor * math.nan for name, tensor in weights.items()},
            broken / "model.safetensors",
            {"format": "pt"},
        )
    with pytest.raises(ModelError, match="broken"):
        nats_per_character(broken, TEXTS)
