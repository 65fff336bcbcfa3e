"""Models reading held-out programs: token boundaries and classes from the tokenizer, log-probabilities from the weights."""

import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from ssd_plugin.analysis.forks import Program
from ssd_plugin.analysis.syntax_class import classify
from ssd_plugin.config.schema import ModelConfig
from ssd_plugin.core.progress import Advance
from ssd_plugin.errors import ModelError, ResourceError
from ssd_plugin.metrics.inference import FloatArray
from ssd_plugin.models.device import is_out_of_memory, pick_device
from ssd_plugin.sampling.prompting import PromptEncoder, open_tokenizer
from ssd_plugin.tasks.schema import Task

FENCE = "```python\n"
MAX_TOKENS = 256  # of a program's code; later tokens are not measured


def read_programs(
    model_dir: Path, model: ModelConfig, tasks: Sequence[Task]
) -> tuple[list[Program], list[tuple[int, ...]]]:
    """Each task's reference as the model would write it, in a fenced block after the prompt; and the ids before the code.

    Tasks without a reference, or with one that this Python cannot parse, are left out.

    Raises:
        ModelError: the tokenizer gives no character offsets.
    """
    encoder = PromptEncoder(model_dir, model.system_message, model.reasoning_effort)
    tokenizer = open_tokenizer(model_dir)
    if not tokenizer.is_fast:
        raise ModelError(f"{model_dir}: its tokenizer gives no character offsets; a tokenizer.json is needed")
    programs, contexts = [], []
    for task in tasks:
        if not task.reference.strip():
            continue
        encoded = tokenizer(FENCE + task.reference, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        first = next((i for i, (begin, _) in enumerate(offsets) if begin >= len(FENCE)), len(ids))
        begins = [begin - len(FENCE) for begin, _ in offsets[first:]]
        ends = [*begins[1:], len(task.reference)][:MAX_TOKENS]
        try:
            classes = classify(task.reference, begins)
        except (SyntaxError, tokenize.TokenError):
            continue
        texts = [task.reference[begin:end] for begin, end in zip(begins, ends, strict=False)]
        kept = slice(first, first + MAX_TOKENS)
        programs.append(
            Program(
                task_id=task.task_id,
                texts=tuple(texts),
                classes=tuple(classes[:MAX_TOKENS]),
                token_ids=tuple(ids[kept]),
            )
        )
        contexts.append(encoder.encode(task.prompt) + tuple(ids[:first]))
    return programs, contexts


class Reader:
    """One model's next-token log-probabilities, in float32 weights on the first GPU or the CPU."""

    def __init__(self, model_dir: Path, advance: Advance) -> None:
        """Load the directory: safetensors only, no remote code. `advance` is called after each text that was read.

        Raises:
            ModelError: transformers cannot load it.
            ResourceError: out of memory.
        """
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                model_dir, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{model_dir}: transformers cannot load this model ({error})") from error
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise ResourceError(f"{model_dir}: not enough memory for float32 weights") from error
            raise
        self._model = model.to(pick_device()).eval()
        self._advance = advance

    @torch.inference_mode()
    def log_probabilities(self, context: Sequence[int], token_ids: Sequence[int]) -> FloatArray:
        """log p of every token at each position of `token_ids` after `context`, "positions vocab", float64."""
        ids = torch.tensor([[*context, *token_ids[:-1]]], device=self._model.device)
        logits = self._model(input_ids=ids, logits_to_keep=len(token_ids), use_cache=False).logits[0]
        values: FloatArray = logits.double().log_softmax(-1).cpu().numpy()
        self._advance()
        return np.ascontiguousarray(values)

    def read(self, contexts: Sequence[Sequence[int]], programs: Sequence[Program]) -> Iterator[FloatArray]:
        """`log_probabilities` of each program in turn."""
        for context, program in zip(contexts, programs, strict=True):
            yield self.log_probabilities(context, program.token_ids)
