"""The trained model as a directory that transformers and vLLM load: new weights, everything else the base model's own."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from ssd_plugin.weights import check_model_dir

INDEX = "model.safetensors.index.json"
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
    """Copy config, tokenizer, chat template and generation config byte for byte: training changes none of them."""
    for file in sorted(base_model.iterdir()):
        if file.suffix in CARRIED_SUFFIXES and file.name != INDEX:
            shutil.copyfile(file, target / file.name)


def _stored_dtype(base_model: Path) -> torch.dtype:
    config = json.loads((base_model / "config.json").read_text(encoding="utf-8"))
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(name, torch.float32)
