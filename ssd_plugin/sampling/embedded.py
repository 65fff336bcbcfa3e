"""The embedded engine: any causal language model of transformers, on the CPU or one GPU."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import ModelError, ResourceError, SamplingError
from ssd_plugin.models.device import is_out_of_memory, load_quietly, pick_device, pick_dtype
from ssd_plugin.sampling.decoding import Batch, Row
from ssd_plugin.sampling.packed_linear import can_pack, pack_linears
from ssd_plugin.sampling.prompting import end_token_ids, open_tokenizer
from ssd_plugin.sampling.protocol import Completion, Request, SamplingParams

MAX_ROWS = 64  # where engine.max_rows is 0
WINDOW = 8
"""Requests held at once, in multiples of `max_rows`: enough to sort by length, little enough to keep memory flat."""

REFILL = 8
"""Waiting requests are admitted once one row in so many is free: a prefill of several prompts costs less a prompt."""

SUPPORTED_LAYERS = {"full_attention", "sliding_attention"}


class EmbeddedSampler:
    """Decodes up to `max_rows` requests together. Finished rows leave, waiting requests take their places."""

    def __init__(self, model_dir: Path, engine: EngineConfig, model: PreTrainedModel | None = None) -> None:
        """`model`: weights to use instead of the directory's; they are the sampler's own from here on."""
        device = pick_device()
        dtype = pick_dtype(engine.dtype, device)
        self._model = _load(model_dir, dtype, device) if model is None else _ready(model, dtype, device)
        self._tokenizer = open_tokenizer(model_dir)
        self._end_tokens = end_token_ids(model_dir, self._tokenizer)
        self._max_rows = engine.max_rows or MAX_ROWS
        self._context = int(self._model.config.get_text_config().max_position_embeddings)

    def sample(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Completion]:
        """See `Sampler.sample`. Memory depends on `max_rows` and lengths, not on how many requests there are."""
        waiting: deque[Request] = deque()
        source = iter(requests)
        batch = Batch(self._model, params, self._end_tokens, self._context)
        try:
            while True:
                batch.turn_over()
                free = self._max_rows - len(batch.rows)
                if free >= self._max_rows // REFILL or not batch.rows:
                    batch.admit(self._take(free, waiting, source))
                    if not batch.rows:
                        return
                for row in batch.step():
                    yield self._completion(row)
        except (RuntimeError, MemoryError, OSError) as error:
            if is_out_of_memory(error):
                raise ResourceError(
                    f"out of memory with {len(batch.rows)} rows; set engine.max_rows below {self._max_rows}"
                ) from error
            raise

    def close(self) -> None:
        """Free the model."""
        del self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _take(self, count: int, waiting: deque[Request], source: Iterator[Request]) -> list[Request]:
        """The next requests. Within a window the longest come first, and those with equal prompts stand together."""
        taken: list[Request] = []
        while len(taken) < count:
            if not waiting:
                window = list(islice(source, WINDOW * self._max_rows))
                if not window:
                    break
                waiting.extend(sorted(window, key=lambda r: (-len(r.prompt_token_ids), r.prompt_token_ids)))
            taken.append(waiting.popleft())
        return taken

    def _completion(self, row: Row) -> Completion:
        return Completion(
            request_id=row.request.request_id,
            text=str(self._tokenizer.decode(row.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)),
            token_ids=tuple(row.tokens),
            finish_reason="stop" if row.tokens[-1] in self._end_tokens else "length",
            logprobs=tuple(row.logprobs),
        )


def _load(model_dir: Path, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    load_quietly()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=dtype, local_files_only=True, use_safetensors=True
        )
        model = _ready(model, dtype, device)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{model_dir}: transformers cannot load this model ({reason})") from error
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ResourceError(f"{model_dir}: not enough memory to load the model as {dtype}") from error
        raise
    unknown = set(getattr(model.config.get_text_config(), "layer_types", None) or ()) - SUPPORTED_LAYERS
    if unknown:
        raise SamplingError(
            f"{model_dir}: the embedded engine has no cache for {', '.join(sorted(unknown))} layers; set engine.name to vllm"
        )
    loaded: PreTrainedModel = model
    return loaded


def _ready(model: Any, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The model as it decodes fastest here."""
    model.to(device=device, dtype=dtype)
    if can_pack(dtype, device):
        pack_linears(model)
    ready: PreTrainedModel = model.eval()
    return ready
