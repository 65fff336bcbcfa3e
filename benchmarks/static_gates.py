"""Every static gate over 1,000 + 1,000 programs, beside one ruff and one bandit process a file.

    python benchmarks/static_gates.py [--count 1000] [--files 40] [--rounds 3]

The programs are made of the task bank's reference solutions (one, or five in a file), made different by a comment, with unsafe
code, imports and passwords planted in some. Ours is the gate runner itself, each gate in its process, start-up included. The peer
runs on `--files` of the same files, spread over all, and is scaled; its processes run as many at a time as there are cores,
like our gates. Both are measured in turn, `--rounds` times, so that a load that comes and goes meets both; the figure is the
median ratio of CPU time, with its range. Writes `benchmarks/results/static_gates.md` and `.json`.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from grading import machine

import ssd_plugin.tasks
from ssd_plugin.gating.discovery import load_gates
from ssd_plugin.gating.gate import Gate, GateContext, Side
from ssd_plugin.gating.isolation import Job, run_apart
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.tasks.schema import FunctionCheck, Result, Status, Task, read_tasks

STATIC = ("lint", "static_analysis", "secrets", "imports")
PLANTED = (
    "import reqeusts\n",
    "password = 'correct-horse-7'\n",
    "def sh(c):\n    return eval(c)\n",
    "print(undefined_thing)\n",
)
RESULTS = Path(__file__).parent / "results"


def programs(count: int, solutions: int) -> list[str]:
    """`count` different programs of `solutions` functions each, in the bank's order; one in ten has a plant in front."""
    bank = Path(ssd_plugin.tasks.__file__).parent / "bank"
    known = [task.reference for path in sorted(bank.glob("*.jsonl")) for task in read_tasks(path) if task.reference]
    rng = random.Random(0)
    texts = []
    for n in range(count):
        parts = [known[(n * solutions + i) % len(known)] for i in range(solutions)]
        plant = rng.choice(PLANTED) if n % 10 == 0 else ""
        texts.append(f"{plant}{''.join(parts)}\n# variant {n}\n")
    return texts


def context(texts: list[str], work: Path) -> GateContext:
    """Half of the programs on each side, one sample a task, all passing (so that bandit has to look at every one)."""
    half = len(texts) // 2
    check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
    tasks = tuple(Task(task_id=f"t{n}", prompt="-", check=check) for n in range(half))

    def side(role: str, own: list[str]) -> Side:
        rows = (
            Result(task_id=f"t{n}", sample_id="s", completion=text, status=Status.PASS, program=text)
            for n, text in enumerate(own)
        )
        return Side(role=role, results=work, rows=tuple(rows), meta={})

    return GateContext(
        tasks=tasks,
        baseline=side("baseline", texts[:half]),
        candidate=side("candidate", texts[half:]),
        origin=None,
        model=None,
        baseline_model=None,
        training=(),
        tasks_path=work,
        work=work,
        alpha=0.025,
        sandbox="landlock",
        memo=ProgramMemo(),
    )


def check(gate: Gate, inputs: GateContext) -> list[Any]:
    """One gate as the runner calls it."""
    return [gate.check(inputs, gate.settings())]


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result, with wall seconds and CPU seconds of this process and its children."""

    def cpu() -> float:
        usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    started, used = time.monotonic(), cpu()
    result = work()
    return result, {"wall": time.monotonic() - started, "cpu": cpu() - used}


def ours(texts: list[str], folder: Path) -> dict[str, int]:
    """The static gates, as in a gate run; returns how many programs each one named."""
    inputs = context(texts, folder)
    jobs = {}
    for name in STATIC:
        (folder / name).mkdir()
        own = GateContext(**{**vars(inputs), "work": folder / name})
        jobs[name] = Job(call=partial(check, load_gates()[name].gate, own), timeout_s=600)
    answers = run_apart(jobs)
    failures = {name: answer.failure for name, answer in answers.items() if answer.failure}
    if failures:
        raise SystemExit(f"gates failed: {failures}")
    return {name: len({f.task_id for f in answer.results[0].findings}) for name, answer in answers.items()}


def peer(texts: list[str], folder: Path) -> int:
    """One ruff and one bandit process a file; returns how many files had a finding."""
    tools = Path(sys.executable).parent

    def one(number: int) -> bool:
        path = folder / f"p{number}.py"
        path.write_text(texts[number])
        ruff = [str(tools / "ruff"), "check", "--isolated", "--no-cache", "--select", "E9,F8", "--quiet", str(path)]
        bandit = [str(tools / "bandit"), "--quiet", "--ignore-nosec", str(path)]
        return any(subprocess.run(command, capture_output=True, check=False).returncode for command in (ruff, bandit))

    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        return sum(pool.map(one, range(len(texts))))


def one_round(texts: list[str], files: int) -> dict[str, Any]:
    """Both once, one after the other; the peer scaled to all programs."""
    chosen = texts[:: len(texts) // files][:files]
    with tempfile.TemporaryDirectory(prefix="ssd-bench-") as name:
        folder = Path(name)
        named, own = measured(lambda: ours(texts, folder))
        (folder / "peer").mkdir()
        _, other = measured(lambda: peer(chosen, folder / "peer"))
    scaled = {key: value * len(texts) / len(chosen) for key, value in other.items()}
    return {"named": named, "ours": own, "peer": scaled, "ratio": scaled["cpu"] / own["cpu"]}


def compare(count: int, files: int, solutions: int, rounds: int) -> dict[str, Any]:
    """All rounds on programs of one size; the first, which fills the caches of both, is thrown away."""
    texts = programs(2 * count, solutions)
    found = [one_round(texts, files) for _ in range(rounds + 1)][1:]
    return {"programs": len(texts), "characters": sum(map(len, texts)) // len(texts), "rounds": found}


def page(found: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        "# Static gates beside one process a file",
        "",
        f"`python benchmarks/static_gates.py --count {found['count']} --files {found['files']} --rounds {found['rounds']}`"
        f" on {found['machine']}.",
        f"The peer, one ruff and one bandit process a file, ran on {found['files']} files, scaled to all.",
        f"Ours: {', '.join(STATIC)}, as in a gate run. Medians of rounds in turn; the ratio is of CPU time, with its range.",
        "",
        "| programs | characters a program | ours, CPU s | peer, CPU s | ratio | ours, wall s | peer, wall s |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found["sizes"]:
        own, other = (
            {kind: statistics.median(each[who][kind] for each in one["rounds"]) for kind in ("cpu", "wall")}
            for who in ("ours", "peer")
        )
        ratios = sorted(each["ratio"] for each in one["rounds"])
        lines.append(
            f"| {one['programs']} | {one['characters']} | {own['cpu']:.1f} | {other['cpu']:.0f} "
            f"| **{statistics.median(ratios):.0f}** [{ratios[0]:.0f}, {ratios[-1]:.0f}] "
            f"| {own['wall']:.1f} | {other['wall']:.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure both sizes, then write the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="programs a side")
    parser.add_argument("--files", type=int, default=40, help="files that the peer is run on")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cases = ((options.count, 1), (options.count, 5), (max(20, options.count // 20), 1))  # the last: what start-up costs
    sizes = [compare(count, options.files, solutions, options.rounds) for count, solutions in cases]
    found = {
        "count": options.count,
        "files": options.files,
        "rounds": options.rounds,
        "machine": machine(),
        "sizes": sizes,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "static_gates.md").write_text(page(found))
    (RESULTS / "static_gates.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(page(found))


if __name__ == "__main__":
    main()
