"""The exported model's losses, by transformers: the other side of the comparison that `export.py` begins."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from ssd_plugin.training.examples import Examples
from ssd_plugin.training.megatron.job import probes


def losses_of(model_dir: Path, examples: Examples) -> list[float]:
    """Mean loss of each probe example, nats a label."""
    model = AutoModelForCausalLM.from_pretrained(
        model_dir, local_files_only=True, use_safetensors=True, torch_dtype="auto"
    )
    found = []
    for (index,) in probes(len(examples)):
        example = examples[index]
        ids = torch.tensor([list(example.token_ids)])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, example.prompt_length - 1 : -1].float()
        found.append(torch.nn.functional.cross_entropy(logits, ids[0, example.prompt_length :]).item())
    return found
