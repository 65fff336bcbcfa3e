"""Is the exported model the trained one? Its logits, by transformers, against those that `export.py` kept of Megatron's."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ssd_plugin.training.export import carry_over


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Allowed relative difference of the middle token's logits and of the worst token's."""

    middle: float
    worst: float


# What other kernels round differently stays below these. In bfloat16 a router's near tie may send a token to another expert,
# which moves that token's logits far and says nothing about the conversion: there the middle token counts. Not measured on a
# GPU yet.
EXACT, ROUNDED = Tolerance(middle=1e-3, worst=1e-3), Tolerance(middle=0.05, worst=0.5)


def relative_gaps(expected: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Root-mean-square difference of logits "tokens vocabulary" over their spread, "tokens". A constant added to all of a
    token's logits changes no probability and does not count."""
    expected, found = (logits.double() - logits.double().mean(-1, keepdim=True) for logits in (expected, found))
    gaps: torch.Tensor = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    return gaps


def fault(gaps: torch.Tensor, allowed: Tolerance) -> str:
    """What is wrong with gaps ("tokens") as `relative_gaps` has them; empty when nothing is. A NaN is never right."""
    for name, gap, limit in (("middle", gaps.median(), allowed.middle), ("worst", gaps.max(), allowed.worst)):
        if not float(gap) <= limit:
            return f"logits of the {name} token differ by {float(gap):.2g} of their spread, {limit:.2g} is allowed"
    return ""


def compare(model_dir: Path, kept: Path, probes: list[list[int]]) -> str:
    """What tells the exported model from the trained one on the probe examples; empty when nothing does.

    Args:
        model_dir: the exported model.
        kept: Megatron's logits, "tokens vocabulary" by the probe's number.
        probes: token ids of each probe.
    """
    model = AutoModelForCausalLM.from_pretrained(
        model_dir, local_files_only=True, use_safetensors=True, torch_dtype="auto"
    )
    trained = load_file(kept)
    gaps = []
    for number, ids in enumerate(probes):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        gaps.append(relative_gaps(trained[str(number)], logits))
    return fault(torch.cat(gaps), EXACT if model.dtype is torch.float32 else ROUNDED)


def export_fault(base_model: Path, exported: Path, kept: Path, probes: list[list[int]]) -> str:
    """`compare`, once the exported directory has all that is not weights from the base model; also what keeps it from being
    compared at all."""
    carry_over(base_model, exported)
    try:
        return compare(exported, kept, probes)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        return f"it cannot be compared ({type(error).__name__}: {' '.join(str(error).split())})"
