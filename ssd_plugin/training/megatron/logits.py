"""Is the exported model the trained one? Its logits, by transformers, against those that `export.py` kept of Megatron's."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""Largest relative difference by the exported weights' number format: what other kernels round differently stays below it.
The second one has not been measured on a GPU yet."""


def relative_gap(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Root-mean-square difference of logits "tokens vocabulary" over their spread, of the worst token. A constant added to
    all of a token's logits changes no probability and does not count."""
    expected, found = (logits.double() - logits.double().mean(-1, keepdim=True) for logits in (expected, found))
    gaps = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    return float(gaps.max())


def compare(model_dir: Path, kept: Path, probes: list[list[int]]) -> tuple[float, float]:
    """The largest gap over the probe examples, and what is allowed for weights of this format.

    Args:
        model_dir: the exported model.
        kept: Megatron's logits, "tokens vocabulary" by the probe's number.
        probes: token ids of each probe.
    """
    model = AutoModelForCausalLM.from_pretrained(
        model_dir, local_files_only=True, use_safetensors=True, torch_dtype="auto"
    )
    trained = load_file(kept)
    gaps = torch.zeros(len(probes))
    for number, ids in enumerate(probes):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        gaps[number] = relative_gap(trained[str(number)], logits)
    return float(gaps.max()), TOLERANCE.get(model.dtype, TOLERANCE[torch.bfloat16])  # a NaN is the largest
