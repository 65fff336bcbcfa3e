"""`ssd analyze` on a real (tiny, random) model: a sharpened copy must show as sharpened, an equal copy as unchanged."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoTokenizer, LlamaForCausalLM

from ssd_plugin.analysis.run import analyze_run
from ssd_plugin.cli.analyze import command
from ssd_plugin.config.overrides import apply_overrides, config_to_json
from ssd_plugin.core.jsonl import write_json, write_jsonl
from ssd_plugin.errors import DataError, RunDirError
from ssd_plugin.models.weights import resolve
from ssd_plugin.recipes import load
from ssd_plugin.sampling.prompting import PromptEncoder

FENCE, SYSTEM = "```python\n", "Be brief."
REFERENCES = (
    "def add(a, b):\n    return a + b\n",
    "def twice(x):\n    # doubled\n    return x * 2\n",
    "def no():\n    return []\n",
)


def sharpen(folder: Path, factor: float) -> None:
    """Scale the logits: the same as a lower temperature everywhere."""
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight.mul_(factor)
    model.save_pretrained(folder)


def tokens_of(model: Path, reference: str) -> tuple[list[int], list[int]]:
    """Ids of the prompt with the opening fence, and of the code."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    fence = tokenizer(FENCE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(FENCE + reference, add_special_tokens=False)["input_ids"]
    assert whole[: len(fence)] == fence
    return [*PromptEncoder(model, SYSTEM).encode("Write it."), *fence], whole[len(fence) :]


@pytest.fixture
def run(tmp_path: Path, tiny_llama: Path) -> Path:
    """A run directory after training, whose candidate is the base itself."""
    directory = tmp_path / "run"
    config = apply_overrides(
        load("ssd_smollm2_135m")(),
        (f"model.ref={tiny_llama}", f"model.system_message={SYSTEM}", "sampling.temperature=1.3"),
    )
    write_json(directory / "config.json", config_to_json(config))
    write_json(directory / "prompts/model.json", {"digest": resolve(str(tiny_llama)).digest})
    rows = [{"task_id": f"t{i}", "prompt": "Write it.", "reference": text} for i, text in enumerate(REFERENCES)]
    write_jsonl(directory / "prompts/heldout.jsonl", [*rows, {"task_id": "bare", "prompt": "No reference."}])
    shutil.copytree(tiny_llama, directory / "train/model")
    return directory


def test_an_equal_model_changed_nothing(run: Path) -> None:
    document = analyze_run(run)
    assert document["all"]["programs"] == len(REFERENCES)
    assert document["all"]["tokens"] == sum(len(tokens_of(run / "train/model", text)[1]) for text in REFERENCES)
    for name in ("entropy", "tail", "nll", "loss"):
        change = document["all"][name]["change"]
        assert (change["low"], change["high"]) == (0.0, 0.0), name
    assert document["all"]["alignment"]["base"] == pytest.approx(0, abs=1e-9)


def test_a_sharpened_model_lost_entropy_and_tail(run: Path) -> None:
    sharpen(run / "train/model", 1.5)
    answer = CliRunner().invoke(command, ["--run-dir", str(run), "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document == json.loads((run / "analysis/forks.json").read_text())
    assert document["all"]["entropy"]["change"]["high"] < 0
    assert document["all"]["tail"]["change"]["high"] < 0
    whole = document["all"]
    for side in ("base", "candidate"):
        parts = sum(whole[term][side] for term in ("support", "reshaping", "alignment"))
        constant = whole["loss"]["base"] - sum(whole[term]["base"] for term in ("support", "reshaping", "alignment"))
        assert parts + constant == pytest.approx(whole["loss"][side], abs=1e-6)
    assert "".join(token["text"] for token in document["programs"][0]["tokens"]) in REFERENCES
    assert {"keyword", "definition", "bracket"} <= document["classes"].keys()


def test_log_probabilities_are_the_models_own(run: Path) -> None:
    document = analyze_run(run)
    model = LlamaForCausalLM.from_pretrained(run / "train/model")
    losses = []
    for reference in REFERENCES:
        context, code = tokens_of(run / "train/model", reference)
        ids = torch.tensor([context + code])
        labels = torch.tensor([[-100] * len(context) + code])
        losses.append(float(model(input_ids=ids, labels=labels).loss.detach()))
    assert document["all"]["nll"]["base"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_what_is_missing_is_named(run: Path) -> None:
    write_jsonl(run / "prompts/heldout.jsonl", [{"task_id": "bare", "prompt": "No reference."}])
    with pytest.raises(DataError, match="two tasks or more need a 'reference'"):
        analyze_run(run)
    shutil.rmtree(run / "train")
    with pytest.raises(RunDirError, match="ssd train --run-dir"):
        analyze_run(run)
    assert not (run / "analysis").exists()
