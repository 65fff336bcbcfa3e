"""Verdicts on a model's own samples, ours beside EvalPlus' checker: `python benchmarks/_agreement.py RUN_DIRECTORY [...]`.

Takes the samples of every stage of the run directories that are about function tasks, grades them in the sandbox, gives the
extracted programs to EvalPlus with the same inputs and expected values, and prints every disagreement. Writes
`benchmarks/results/agreement.json`.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from grading import peers_python  # noqa: E402

from ssd_plugin.data.benchmarks import load_tasks  # noqa: E402
from ssd_plugin.evaluation.grader import read_graded, score_file  # noqa: E402
from ssd_plugin.records import FunctionCheck, Result  # noqa: E402
from ssd_plugin.sandbox.values import decode  # noqa: E402


def graded(tasks: Path, samples: Path, folder: Path, problems: dict[str, dict[str, Any]]) -> list[Result]:
    """Our verdicts on programs that exist; adds the tasks, as EvalPlus takes them, to `problems`."""
    for task in load_tasks(tasks):
        if isinstance(task.check, FunctionCheck):
            inputs = [decode(list(arguments)) for arguments in task.check.inputs]
            expected = [decode(value) for value in task.check.expected]
            problem = {
                "task_id": task.task_id,
                "entry_point": task.check.entry_point,
                "inputs": inputs,
                "expected": expected,
            }
            problems[task.task_id] = problem
    score_file(tasks, samples, folder / "out.jsonl")
    return [row for row in read_graded(folder / "out.jsonl").rows if row.program and row.task_id in problems]


def sampled(run: Path) -> list[tuple[Path, Path]]:
    """(tasks, samples) of every samples file in a run directory: the split that has the first sample's task."""
    splits = {path: {task.task_id for task in load_tasks(path)} for path in sorted(run.glob("prompts/*.jsonl"))}
    pairs = []
    for samples in sorted(run.rglob("samples.jsonl")):
        with samples.open() as stream:
            first = json.loads(next(stream))["task_id"]
        pairs += [(tasks, samples) for tasks, ids in splits.items() if first in ids and tasks.stem != "train"]
    return pairs


def main(runs: list[Path]) -> None:
    """Grade every samples file both ways and compare."""
    pairs = [pair for run in runs for pair in sampled(run)]
    if not pairs:
        sys.exit(f"no graded samples in {[str(run) for run in runs]}: name directories of ssd run")
    with tempfile.TemporaryDirectory(prefix="ssd-agreement-") as name:
        folder = Path(name)
        problems: dict[str, dict[str, Any]] = {}
        rows = [row for pair in pairs for row in graded(*pair, folder, problems)]
        (folder / "problems.txt").write_text(repr(list(problems.values())))
        samples = [{"task_id": row.task_id, "completion": row.program} for row in rows]
        (folder / f"samples-{len(rows)}.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
        peer = [peers_python(), str(HERE / "_grading_peers.py"), "evalplus", name, str(len(rows)), "2"]
        subprocess.run(peer, check=True, stdout=subprocess.DEVNULL)
        theirs = json.loads((folder / "verdicts-evalplus.json").read_text())
    differences = [
        {
            "task_id": row.task_id,
            "ours": row.status.value,
            "evalplus": passed,
            "detail": row.detail,
            "program": row.program,
        }
        for row, passed in zip(rows, theirs, strict=True)
        if (row.status == "pass") != passed
    ]
    distinct = len({(row.task_id, row.program) for row in rows})
    found = {"programs": len(rows), "distinct": distinct, "passed": sum(theirs), "disagreements": differences}
    found["statuses"] = dict(sorted(Counter(row.status.value for row in rows).items()))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "agreement.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(
        f"{len(rows)} programs ({distinct} distinct), {sum(theirs)} pass EvalPlus' checker, {len(differences)} disagreements"
    )
    for difference in differences:
        print(json.dumps(difference))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
