"""The trained model as a directory that transformers and vLLM load: new weights, everything else the base model's own."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.models.weights import check_model_dir

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
TEMPLATES = "additional_chat_templates"
CARRIED_SUFFIXES = {".json", ".jinja", ".txt", ".model"}


def export(model: Any, base_model: Path, output: Path) -> None:
    """Write `output` whole or not at all, in the base model's number format; adapters are merged into the weights."""
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model = model.to(_stored_dtype(base_model))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as name:
        staging = Path(name) / "model"
        model.save_pretrained(staging)
        carry_over(base_model, staging)
        check_model_dir(staging)
        if output.exists():
            output.rename(Path(name) / "previous")
        staging.rename(output)


def carry_over(base_model: Path, target: Path) -> None:
    """Copy config, tokenizer, chat template and generation config byte for byte: training changes none of them. But for a
    quantised base (gpt-oss: MXFP4): the trained weights are plain numbers, so the config must not announce packed ones."""
    for file in sorted(base_model.iterdir()):
        if file.suffix in CARRIED_SUFFIXES and file.name != INDEX:
            shutil.copyfile(file, target / file.name)
    if (base_model / TEMPLATES).is_dir():
        shutil.copytree(base_model / TEMPLATES, target / TEMPLATES, dirs_exist_ok=True)
    config = read_json(base_model / CONFIG)
    if "quantization_config" in config:
        plain = {name: value for name, value in config.items() if name != "quantization_config"}
        write_json(target / CONFIG, plain | {"torch_dtype": _stored_name(config)})


def _stored_name(config: dict[str, Any]) -> str:
    """The base's number format. A quantised model that names none computes in bfloat16."""
    otherwise = "bfloat16" if "quantization_config" in config else "float32"
    return str(config.get("dtype") or config.get("torch_dtype") or otherwise)


def _stored_dtype(base_model: Path) -> torch.dtype:
    name = _stored_name(read_json(base_model / CONFIG))
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(name, torch.float32)
