"""Ten times the prompts: memory and throughput of everything but the model, on synthetic prompts that stream from disk.

    python benchmarks/growth.py [--sizes 10000 100000] [--programs 5000 50000]

Every part is the pipeline's own code in a process of its own; in the place of the model stands an engine that answers with
programs of the task bank. `sample` renders and tokenises the prompts with SmolLM2's tokenizer; `grade` runs the bank's own
solutions and broken copies of them in the sandbox; `gate` is a whole gate run whose training data grows. `resume` is a
second start of `sample` when a tenth, half and nine tenths are done: the seconds until the engine is asked for the first
completion. Peak memory is the process's own, for `gate` that of the largest gate; the sandbox's processes are bounded one by
one and do not grow.
What does grow, and not with the prompts: grading holds the graded split's tasks, the gates also their samples.
Writes `benchmarks/results/growth.md` and `.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import _growth_parts as parts  # noqa: E402
from _machine import facts, write  # noqa: E402

Row = dict[str, Any]
PARTS: dict[str, Callable[[Path], Row]] = {
    "prompts": parts.prompts, "sample": parts.sample, "filter": parts.filter_samples, "pack": parts.pack,
    "grade": parts.grade, "gate": parts.gate,
}  # fmt: skip
RESUMED = (0.1, 0.5, 0.9)


def measured(name: str, folder: Path, *more: str) -> Row:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--folder", str(folder), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    print(name, *more, json.dumps(row), file=sys.stderr, flush=True)
    return row


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every part at both sizes, the smaller first; then the second starts."""
    found: dict[str, Any] = {name: {} for name in (*PARTS, "resume")}
    for count, programs in zip(options.sizes, options.programs, strict=True):
        with tempfile.TemporaryDirectory(prefix="ssd-growth-") as name:
            folder = Path(name)
            parts.prepare(folder, count, programs)
            for part in PARTS:
                found[part][programs if part == "grade" else count] = measured(part, folder)
            assert found["prompts"][count]["items"] == count
            done = {share: str(int(share * count)) for share in RESUMED}
            found["resume"][count] = {share: measured("resume", folder, "--done", done[share]) for share in RESUMED}
    return found


def table(found: dict[str, Any]) -> list[list[str]]:
    """A row a part: peak memory and rate at both sizes, side by side."""
    rows = []
    for part in PARTS:
        (small, first), (large, second) = found[part].items()
        rates = [size / row["cpu_s"] for size, row in ((small, first), (large, second))]
        peaks = [row["peak_gb"] * 1000 for row in (first, second)]
        rows.append([
            part, f"{small:,} / {large:,}", f"{peaks[0]:.0f}", f"{peaks[1]:.0f}", f"{peaks[1] / peaks[0]:.2f}",
            f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{rates[1] / rates[0]:.2f}",
        ])  # fmt: skip
    return rows


def note(found: dict[str, Any], options: argparse.Namespace) -> str:
    """What was run, and what a second start costs."""
    sizes, programs = (" ".join(map(str, sizes)) for sizes in (options.sizes, options.programs))
    starts = "; ".join(
        f"{count:,} prompts: " + ", ".join(f"{row['cpu_s']:.1f} s with {share:.0%} done" for share, row in rows.items())
        for count, rows in found["resume"].items()
    )
    return (
        f"`python benchmarks/growth.py --sizes {sizes} --programs {programs}`. Peak memory of the part's own process in MB; "
        "items a CPU-second, children included. A second start of `sample`, CPU-seconds until the engine is asked for the "
        f"first completion that is missing: {starts}."
    )


def main() -> None:
    """Measure all, or one part for the process that asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[10_000, 100_000], help="prompts")
    parser.add_argument("--programs", type=int, nargs=2, default=[5_000, 50_000], help="graded programs")
    parser.add_argument("--part", choices=[*PARTS, "resume"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--done", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        folder = options.folder
        print(json.dumps(PARTS[options.part](folder) if options.part in PARTS else parts.resume(folder, options.done)))
        return
    machine = facts("transformers", "torch")
    found = run(options)
    header = ["part", "items", "peak MB", "peak MB, 10x", "ratio", "items / CPU-s", "items / CPU-s, 10x", "ratio"]
    write("growth", "Ten times the prompts", machine, note(found, options), header, table(found),
          {"machine": machine, "parts": found})  # fmt: skip


if __name__ == "__main__":
    main()
