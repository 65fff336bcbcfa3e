"""The contestants of sampling.py, each run as `python _sampling_peers.py NAME WORK.json` by the interpreter that has it.

WORK.json: model (directory), gguf (file), dtype, prompts (token ids), new_tokens, rows, ends (token ids), and the decode setting.
Prints tokens, cpu_s, wall_s and peak_gb, loading left out of the seconds and not out of the memory.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import Meter

Work = dict[str, Any]
PAGE = 32
"""Tokens a page of the cache, where an engine has pages."""


def counted(completions: Iterable[list[int]], ends: list[int]) -> int:
    """Tokens up to the end of the turn, which counts; what a batch decoded after it does not."""
    return sum(next((i + 1 for i, token in enumerate(row) if token in ends), len(row)) for row in completions)


def embedded(work: Work) -> dict[str, float]:
    """Our engine."""
    from ssd_plugin.config.schema import EngineConfig
    from ssd_plugin.sampling import open_sampler
    from ssd_plugin.sampling.protocol import Request, SamplingParams

    sampler = open_sampler(Path(work["model"]), EngineConfig(dtype=work["dtype"], max_rows=work["rows"]))
    requests = [Request(request_id=str(i), prompt_token_ids=tuple(p), seed=i) for i, p in enumerate(work["prompts"])]
    params = SamplingParams(**work["decode"], max_new_tokens=work["new_tokens"])
    meter = Meter()
    tokens = sum(len(done.token_ids) for done in sampler.sample(requests, params))
    return meter.read() | {"tokens": tokens}


def _transformers(work: Work, attention: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(
        work["model"], dtype=getattr(torch, work["dtype"]), attn_implementation=attention
    )


def generate(work: Work) -> dict[str, float]:
    """transformers' `generate` on left-padded batches, as its documentation shows it."""
    from transformers import AutoTokenizer

    model, tokenizer = _transformers(work, "sdpa"), AutoTokenizer.from_pretrained(work["model"], padding_side="left")
    meter, tokens = Meter(), 0
    for start in range(0, len(work["prompts"]), work["rows"]):
        batch = tokenizer.pad({"input_ids": work["prompts"][start : start + work["rows"]]}, return_tensors="pt")
        drawn = model.generate(**batch, do_sample=True, **work["decode"], max_new_tokens=work["new_tokens"])
        tokens += counted(drawn[:, batch["input_ids"].shape[1] :].tolist(), work["ends"])
    return meter.read() | {"tokens": tokens}


def continuous(work: Work) -> dict[str, float]:
    """transformers' continuous batching, with a cache for `rows` sequences: by itself it takes most of the machine's memory."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    model = _transformers(work, "sdpa")
    pages = -(-(max(map(len, work["prompts"])) + work["new_tokens"]) // PAGE)
    sizes = ContinuousBatchingConfig(
        page_size=PAGE, num_blocks=work["rows"] * pages, max_batch_tokens=2048, max_requests_per_batch=work["rows"],
        use_async_batching=False,
    )  # fmt: skip
    config = GenerationConfig(
        do_sample=True, **work["decode"], max_new_tokens=work["new_tokens"], eos_token_id=work["ends"],
        pad_token_id=work["ends"][0],
    )  # fmt: skip
    meter = Meter()
    found = model.generate_batch(
        inputs=work["prompts"],
        generation_config=config,
        continuous_batching_config=sizes,
        progress_bar=False,
        warmup=False,
    )
    if len(found) != len(work["prompts"]):
        sys.exit(f"continuous batching answered {len(found)} of {len(work['prompts'])} prompts")
    return meter.read() | {"tokens": counted((f.generated_tokens for f in found.values()), work["ends"])}


def vllm(work: Work) -> dict[str, float]:
    """vLLM in this process, as fast as it is here: eager, one process."""
    import os

    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # all contestants get the same number of threads, set by OMP_NUM_THREADS
    }  # fmt: skip
    from vllm import LLM, SamplingParams

    engine = LLM(
        work["model"], dtype=work["dtype"], enforce_eager=True, max_model_len=1024, max_num_seqs=work["rows"],
        distributed_executor_backend="uni",
    )  # fmt: skip
    params = SamplingParams(**work["decode"], max_tokens=work["new_tokens"], stop_token_ids=work["ends"])
    meter = Meter()
    found = engine.generate([{"prompt_token_ids": p} for p in work["prompts"]], params, use_tqdm=False)
    return meter.read() | {"tokens": counted((list(f.outputs[0].token_ids) for f in found), work["ends"])}


CONTESTANTS = {
    "embedded engine": embedded,
    "transformers generate": generate,
    "transformers continuous batching": continuous,
    "vLLM": vllm,
}

if __name__ == "__main__":
    print(json.dumps(CONTESTANTS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))))
