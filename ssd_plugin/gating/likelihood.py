"""How well a model predicts code that people wrote: nats a character, so that tokenizers need not be the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.errors import DependencyError

_TOKENS = 512  # of each document; enough to differ, cheap on a CPU


def nats_per_character(model: Path, documents: Sequence[str]) -> list[float]:
    """Mean negative log-likelihood of each document's first 512 tokens, in nats a character of that text.

    The directory is loaded as data: safetensors only, no remote code.

    Raises:
        DependencyError: torch or transformers is not installed.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise DependencyError("likelihood needs torch and transformers: pip install 'ssd-plugin[embedded]'") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    network: Any = AutoModelForCausalLM.from_pretrained(
        model, trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype=torch.bfloat16
    )
    network.to(device).eval()
    scores = []
    with torch.inference_mode():
        for document in documents:
            tokens = tokenizer(document, return_tensors="pt", add_special_tokens=False)["input_ids"][:, :_TOKENS]
            logits = network(tokens.to(device)).logits[0, :-1].float()
            loss = torch.nn.functional.cross_entropy(logits, tokens[0, 1:].to(device), reduction="sum")
            scores.append(float(loss) / max(1, len(tokenizer.decode(tokens[0]))))
    return scores
