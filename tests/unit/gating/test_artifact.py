"""Hostile model directories: whatever is planted in a sound one, the artifact gate refuses it and says which file."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssd_plugin.errors import TrustError
from ssd_plugin.gates import artifact
from ssd_plugin.gates.artifact import Settings
from ssd_plugin.gating.chat_template import render_trouble
from ssd_plugin.gating.model_files import inspect_directory, inspect_safetensors
from ssd_plugin.verdict import GateResult, GateStatus

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def sound_model(directory: Path) -> Path:
    """A small model directory as exporters write it."""
    directory.mkdir()
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)}, directory / "model.safetensors")
    documents = {
        "config.json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        "generation_config.json": {"do_sample": True},
        "tokenizer.json": {"model": {"vocab": {"a": 0, "b": 1}, "merges": []}, "truncation": None, "padding": None},
        "tokenizer_config.json": {"eos_token": "</s>", "chat_template": TEMPLATE},
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document))
    (directory / "README.md").write_text("A model.")
    return directory


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """(candidate, baseline), equal."""
    baseline = sound_model(tmp_path / "baseline")
    return Path(shutil.copytree(baseline, tmp_path / "candidate")), baseline


@pytest.fixture
def judge(world: Any, models: tuple[Path, Path]) -> Callable[..., GateResult]:
    def run(**settings: Any) -> GateResult:
        context = replace(world.context([], []), model=models[0], baseline_model=models[1])
        return artifact.check(context, Settings(**settings))

    return run


def test_a_sound_model_passes(judge: Callable[..., GateResult]) -> None:
    assert judge().status is GateStatus.PASS


def edit_json(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], Any]:
    return lambda model: (model / name).write_text(json.dumps(change(json.loads((model / name).read_text()))))


def broken_header(header: dict[str, Any], body: int) -> Callable[[Path], Any]:
    text = json.dumps(header).encode()
    return lambda model: (model / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(body))


def tensor(**changes: Any) -> dict[str, Any]:
    return {"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda m: (m / "pytorch_model.bin").write_bytes(pickle.dumps([1])), "pytorch_model.bin: not a file"),
        (lambda m: (m / "modeling_evil.py").write_text("import os"), "modeling_evil.py: not a file"),
        (lambda m: (m / "lib.so").write_bytes(b"\x7fELF"), "lib.so: not a file"),
        (lambda m: (m / "x.safetensors.pkl").write_bytes(b"x"), "x.safetensors.pkl: not a file"),
        (lambda m: (m / "model.safetensors").unlink(), "no .safetensors or .gguf"),
        (lambda m: (m / "w.gguf").write_bytes(b"\x80\x04pickle"), "w.gguf: not a GGUF file"),
        (edit_json("config.json", lambda d: d | {"auto_map": {"AutoModel": "m.M"}}), "config.json.auto_map"),
        (edit_json("config.json", lambda d: d | {"sub": [{"auto_map": {"AutoModel": "x/y--m.M"}}]}), "sub[0].auto_map"),
        (edit_json("tokenizer_config.json", lambda d: d | {"auto_map": {"AutoTokenizer": ["t.T", None]}}), "auto_map"),
        (lambda m: (m / "config.json").write_text("[" * 100_000), "config.json: nested too deeply"),
        (lambda m: (m / "config.json").write_bytes(b"\xff\xfe{"), "config.json"),
        (broken_header(tensor(data_offsets=[0, 800]), 8), "model.safetensors: its header is malformed"),
        (broken_header(tensor(shape=[-2]), 8), "sizes must be whole numbers"),
        (broken_header(tensor(dtype="EVIL"), 8), "8 bytes for shape"),
        (broken_header(tensor() | {"u": tensor()["t"]}, 8), "overlap or leave gaps"),
        (broken_header(tensor(), 16), "do not fill the file"),
        (broken_header({}, 0), "do not fill the file"),
        (lambda m: (m / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}"), "does not fit the file"),
        (lambda m: (m / "model.safetensors").write_bytes(b""), "does not fit the file"),
        (edit_json("tokenizer.json", lambda d: d | {"model": {"vocab": {"a": 1, "b": 0}}}), "tokenizer.json differ"),
        (edit_json("tokenizer_config.json", lambda d: d | {"eos_token": "a"}), "eos_token differ"),
        (lambda m: (m / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda m: (m / "tokenizer.json").write_text("[]"), "malformed"),
        (
            edit_json("tokenizer_config.json", lambda d: d | {"chat_template": TEMPLATE + "{# trigger #}"}),
            "template differs",
        ),
        (edit_json("tokenizer_config.json", lambda d: d | {"chat_template": 7}), "neither text nor a list"),
        (lambda m: (m / "chat_template.jinja").write_text(TEMPLATE.replace("assistant", "system")), "template differs"),
        (lambda m: (m / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}"), "chat_template.jinja"),
        (lambda m: (m / "chat_template.jinja").write_text("{% if"), "cannot be rendered"),
    ],
)
def test_planted_files_are_refused(
    judge: Callable[..., GateResult], models: tuple[Path, Path], plant: Callable[[Path], Any], said: str
) -> None:
    plant(models[0])
    result = judge()
    assert result.status is GateStatus.BREACH
    assert said in result.reason


@pytest.mark.parametrize(
    "plant",
    [
        lambda m: (m / "config.json").unlink() or (m / "config.json").symlink_to("/etc/hostname"),
        lambda m: os.mkfifo(m / "vocab.json"),
        lambda m: (m / "more").symlink_to(m),
    ],
)
def test_links_and_pipes_are_refused(models: tuple[Path, Path], plant: Callable[[Path], Any]) -> None:
    plant(models[0])
    with pytest.raises(TrustError, match=r"symbolic link|neither a file nor a folder"):
        inspect_directory(models[0])


def test_changes_can_be_approved_by_digest(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    edit_json("tokenizer_config.json", lambda d: d | {"chat_template": TEMPLATE + " ", "eos_token": "b"})(models[0])
    refused = judge()
    assert refused.status is GateStatus.BREACH
    digest = refused.reason.split("to approve, list ")[1][:64]
    assert judge(approved_tokenizers=(digest,)).status is GateStatus.PASS
    edit_json("tokenizer_config.json", lambda d: d | {"chat_template": TEMPLATE + "{# new #}"})(models[0])
    digest = judge(approved_tokenizers=(digest,)).reason.split("to approve, list ")[1][:64]
    assert judge(approved_templates=(digest,)).status is GateStatus.BREACH, "the tokenizer is still another one"


def test_savers_may_reset_padding_and_layout(judge: Callable[..., GateResult], models: tuple[Path, Path]) -> None:
    path = models[0] / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding": {"strategy": "x"}}, indent=4))
    assert judge().status is GateStatus.PASS


def test_without_directories_it_cannot_say(world: Any, models: tuple[Path, Path]) -> None:
    context = world.context([], [])
    assert artifact.check(context, Settings()).status is GateStatus.INSUFFICIENT
    alone = replace(context, model=models[0])
    assert artifact.check(alone, Settings()).status is GateStatus.INSUFFICIENT
    (models[0] / "evil.py").write_text("")
    assert artifact.check(alone, Settings()).status is GateStatus.BREACH


@pytest.mark.parametrize(
    ("template", "trouble"),
    [
        (TEMPLATE, ""),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}", ""),
        ("{{ ''.__class__.__base__.__subclasses__() }}", "sandbox forbids"),
        ("{{ messages.append(1) }}{{ messages[0].content }}", "sandbox forbids"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "exactly once"),
        ("hello", "exactly once"),
        ("{{ messages[0].content }}{% for i in range(99999999) %}x{% endfor %}", "cannot be rendered"),
        ("{% for i in range(9999) %}{{ messages[0].content * 99 }}{% endfor %}", "more than 1 MB"),
        ("{{ raise_exception('no') }}", "cannot be rendered"),
        ("x" * (2**20 + 1), "larger than 1 MB"),
    ],
)
def test_templates_are_rendered_in_a_sandbox(template: str, trouble: str) -> None:
    found = render_trouble(template)
    assert trouble in found
    assert bool(found) is bool(trouble)


def test_real_files_have_sound_headers(tmp_path: Path) -> None:
    save_file(
        {"x": np.zeros((0, 4), np.int64), "y": np.zeros((), np.bool_)}, tmp_path / "x.safetensors", {"format": "pt"}
    )
    assert inspect_safetensors(tmp_path / "x.safetensors") == ""
