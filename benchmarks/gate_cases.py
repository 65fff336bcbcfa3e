"""The same graded sides judged by `ssd gate` and by NeMo Evaluator's `nel gate`: who says what when evidence is bad or thin.

    python benchmarks/gate_cases.py [--nel benchmarks/.venv-nel/bin/nel]

Both get the same passes and failures and the same margin: 3 points of pass@1, critical. Without `nel` (Python 3.12:
`python3.12 -m venv benchmarks/.venv-nel && benchmarks/.venv-nel/bin/pip install nemo-evaluator==0.3.0`) its column says so.
Writes `benchmarks/results/gate_cases.md`.
"""

import argparse
import json
import random
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ssd_plugin.core.jsonl import sha256_file, write_jsonl
from ssd_plugin.gating.request import GateRequest
from ssd_plugin.gating.run import run_gates
from ssd_plugin.grading.result_files import write_sidecar
from ssd_plugin.tasks.schema import FunctionCheck, Result, Status, Task

Passes = Mapping[int, list[bool]]  # by task, each sample

POLICY = """schema = "ssd-policy/1"
name = "comparison"
description = "pass@1 within 3 points"
promotable = false
sandbox = "landlock"
min_tasks = 2
min_samples = 1
looks = 1
[gates.integrity]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.03
"""
NEL_POLICY = """version: 1
benchmarks:
  humaneval: {tier: critical, metric: "pass@1", max_drop: 0.03}
"""


def drawn(tasks: int, samples: int, rate: float, seed: int) -> Passes:
    """A model whose tasks are easy or hard: 80 % of them pass with `rate` + .2 (at most .98), the others seldom."""
    rng, fate = random.Random(seed), random.Random(7919)
    chances = [min(0.98, rate + 0.2) if fate.random() < 0.8 else 0.05 for _ in range(tasks)]
    return {n: [rng.random() < chance for _ in range(samples)] for n, chance in enumerate(chances)}


def flat(tasks: int, passes: bool) -> Passes:
    """Every task passes, or every task fails; one sample each."""
    return {n: [passes] for n in range(tasks)}


def cases() -> dict[str, tuple[int, Passes, Passes]]:
    """By name: how many tasks there are, baseline, candidate."""
    base = drawn(164, 10, 0.7, 1)
    one, other = drawn(164, 1, 0.7, 1), drawn(164, 1, 0.7, 2)
    best_ten = dict(sorted(one.items(), key=lambda entry: -sum(entry[1]))[:10])
    return {
        "both result files empty": (164, {}, {}),
        "10 tasks, all fail on both sides": (10, flat(10, False), flat(10, False)),
        "164 tasks, all fail on both sides": (164, flat(164, False), flat(164, False)),
        "candidate answered 10 of 164 tasks, the ones that pass": (164, one, {n: [True] for n in best_ten}),
        "10 tasks, all pass on both sides": (10, flat(10, True), flat(10, True)),
        "same model, 164 tasks, 1 sample": (164, one, other),
        "same model, 164 tasks, 10 samples": (164, base, drawn(164, 10, 0.7, 2)),
        "15 points worse, 164 tasks, 10 samples": (164, base, drawn(164, 10, 0.52, 2)),
    }


def ask_ours(folder: Path, count: int, sides: Mapping[str, Passes]) -> tuple[str, str]:
    """Outcome and reason of `ssd gate` on result files with the grader's sidecar."""
    check = FunctionCheck(entry_point="f", inputs=((1,),), expected=(1,))
    tasks = folder / "tasks.jsonl"
    write_jsonl(tasks, (Task(task_id=f"t{n}", prompt="-", check=check).to_json() for n in range(count)))
    (folder / "policy.toml").write_text(POLICY)
    for name, passes in sides.items():
        path = folder / f"{name}.jsonl"
        write_jsonl(
            path, (_row(name, n, k, passed).to_json() for n, all_k in passes.items() for k, passed in enumerate(all_k))
        )
        meta = {"schema": "ssd-score/1", "tier": "namespaces", "canaries": {"passed": 1, "total": 1}}
        digests = {"tasks_sha256": sha256_file(tasks), "results_sha256": sha256_file(path)}
        write_sidecar(path, meta | digests)
    baseline, candidate = (folder / f"{name}.jsonl" for name in sides)
    policy = str(folder / "policy.toml")
    verdict = run_gates(
        GateRequest(policy=policy, tasks=tasks, baseline=baseline, candidate=candidate, out=folder / "out")
    )
    return verdict.outcome.value, verdict.reason.replace(f"{folder}/", "")


def _row(side: str, task: int, sample: int, passed: bool) -> Result:
    status = Status.PASS if passed else Status.FAIL
    return Result(task_id=f"t{task}", sample_id=f"s{sample}", completion=side, status=status, program="x")


def ask_nel(folder: Path, nel: Path, sides: Mapping[str, Passes]) -> tuple[str, str]:
    """Outcome and reason of `nel gate` on the bundles and result files that it reads."""
    (folder / "policy.yaml").write_text(NEL_POLICY)
    for name, passes in sides.items():
        run = folder / f"nel-{name}" / "humaneval"
        run.mkdir(parents=True)
        rows = (
            {"problem_idx": n, "repeat": k, "reward": float(p)} for n, ks in passes.items() for k, p in enumerate(ks)
        )
        (run / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        rate = sum(map(sum, passes.values())) / max(1, sum(map(len, passes.values())))
        bundle = {"benchmark": {"name": "humaneval", "samples": len(passes), "scores": {"pass@1": {"value": rate}}}}
        (run / "eval-humaneval.json").write_text(json.dumps(bundle))
    command = [str(nel), "gate", *(str(folder / f"nel-{name}") for name in sides), "-p", str(folder / "policy.yaml")]
    report = folder / "nel.json"
    done = subprocess.run([*command, "-o", str(report), "--no-report"], capture_output=True, text=True, check=False)
    if not report.is_file():
        return f"exit {done.returncode}", done.stderr.strip().splitlines()[-1]
    found = json.loads(report.read_text())
    reasons = [reason for one in found["benchmarks"] for reason in one["reasons"]] or found["verdict_reasons"]
    return found["verdict"], "; ".join(reasons)


def main() -> None:
    """Ask both on every case and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nel", type=Path, default=Path(__file__).parent / ".venv-nel/bin/nel")
    nel = parser.parse_args().nel
    lines = ["| case | `nel gate` | `ssd gate` | why (ssd) |", "|---|---|---|---|"]
    for name, (count, baseline, candidate) in cases().items():
        with tempfile.TemporaryDirectory(prefix="ssd-cases-") as work:
            sides = {"baseline": baseline, "candidate": candidate}
            peer, because = ask_nel(Path(work), nel, sides) if nel.is_file() else ("not installed", "")
            outcome, reason = ask_ours(Path(work), count, sides)
        print(f"{name}: nel {peer} ({because}); ssd {outcome}")
        lines.append(f"| {name} | {peer} | {outcome} | {re.sub(r'; [0-9]+ tasks lost.*', '', reason)} |")
    page = Path(__file__).parent / "results/gate_cases.md"
    page.write_text("\n".join(["# Gate cases", "", "`python benchmarks/gate_cases.py`", "", *lines, ""]))
    print(page.read_text())


if __name__ == "__main__":
    main()
