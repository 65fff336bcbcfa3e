"""How well a model predicts code that people wrote: nats a character, so that tokenizers need not be the same."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.errors import DependencyError, ModelError

_TOKENS = 512  # of each document; enough to differ, cheap on a CPU


def nats_per_character(model: Path, documents: Sequence[str]) -> list[float]:
    """Negative log-likelihood of each document's first 512 tokens but the first, in nats a character of those 512 tokens' text.

    The directory is loaded as data: safetensors only, no remote code. In bfloat16 on a GPU, in float32 on a CPU (few have
    bfloat16 arithmetic, and rounding would add noise to differences of a percent).

    Raises:
        DependencyError: torch or transformers is not installed.
        ModelError: the directory cannot be loaded, or the model gives a likelihood that is not finite.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise DependencyError(
            "likelihood needs torch and transformers: pip install -e '.[embedded]' in the checkout"
        ) from error
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    data_only: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **data_only)
        network: Any = AutoModelForCausalLM.from_pretrained(model, use_safetensors=True, dtype=dtype, **data_only)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{model}: cannot be loaded for its likelihood ({' '.join(str(error).split())[:300]})"
        ) from error
    network.to(device).eval()
    scores = []
    with torch.inference_mode():
        for document in documents:
            tokens = tokenizer(document, return_tensors="pt", add_special_tokens=False)["input_ids"][:, :_TOKENS]
            logits = network(tokens.to(device)).logits[0, :-1].float()
            loss = torch.nn.functional.cross_entropy(logits, tokens[0, 1:].to(device), reduction="sum")
            scores.append(float(loss) / max(1, len(tokenizer.decode(tokens[0]))))
    if not all(map(math.isfinite, scores)):
        raise ModelError(f"{model}: gives likelihoods that are not finite; its weights are damaged")
    return scores
