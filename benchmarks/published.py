"""Verdicts on published benchmarks, ours beside the benchmarks' own harnesses: `python benchmarks/published.py --help`.

Programs are every task's reference, mutants of it (tests/support/mutants.py) and real answers of models as our extraction
reads them. EvalPlus 0.3.1 is run from an environment of its own (`make published-peers`), LiveCodeBench's runner from a
checkout. Writes `benchmarks/results/published.json` and `published.md`: counts, and each disagreement with our reason.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/support"))

from mutants import mutated_programs  # noqa: E402

from ssd_plugin.core.jsonl import write_json  # noqa: E402
from ssd_plugin.grading.extract import build_program  # noqa: E402
from ssd_plugin.grading.grader import read_graded, score_file  # noqa: E402
from ssd_plugin.tasks.benchmarks import load_tasks  # noqa: E402
from ssd_plugin.tasks.files import read_rows  # noqa: E402
from ssd_plugin.tasks.schema import FunctionCheck, Task  # noqa: E402

BANK = HERE.parent / "ssd_plugin" / "tasks" / "bank"


@dataclass(frozen=True, kw_only=True)
class Set:
    """A published file, how its harness calls it, and what a model answered to it."""

    title: str
    peer: tuple[str, str]  # harness, and its data set or checkout
    tasks: Path
    answers: Path | None = None


def programs(tasks: list[Task], mutants: int, answers: Path | None) -> Iterator[tuple[str, str, str]]:
    """(kind, task id, program)."""
    for task in tasks:
        yield "references", task.task_id, task.reference
        try:
            wrong = list(mutated_programs(task.reference).values())
        except (SyntaxError, RecursionError):
            continue
        random.Random(task.task_id).shuffle(wrong)
        yield from (("mutants", task.task_id, program) for program in islice(wrong, mutants))
    known = {task.task_id: task for task in tasks}
    for _, row in read_rows(answers) if answers else ():
        if asked := known.get(row["task_id"]):
            entry_point = getattr(asked.check, "entry_point", "")
            program = build_program(row["completion"], prompt=asked.prompt, entry_point=entry_point)
            if program:
                yield "answers", asked.task_id, program


def compared(which: Set, mutants: int, limit: int, peer_python: str, folder: Path) -> dict[str, Any]:
    """Both verdicts on every program of a set, by kind of program."""
    tasks = [task for task in load_tasks(which.tasks) if task.reference][: limit or None]
    cut = folder / "tasks.jsonl"
    _write(cut, [task.to_json() for task in tasks])
    found = list(programs(tasks, mutants, which.answers))
    _write(folder / "samples.jsonl", [
        {"task_id": task_id, "sample_id": str(number), "completion": f"```python\n{program}\n```"}
        for number, (_, task_id, program) in enumerate(found)
    ])  # fmt: skip
    summary = score_file(cut, folder / "samples.jsonl", folder / "ours.jsonl")
    ours = {int(row.sample_id): row for row in read_graded(folder / "ours.jsonl").rows}
    asked = sorted(ours)  # the same text for both: what our grader ran
    _write(folder / "programs.jsonl", [{"task_id": found[n][1], "program": ours[n].program} for n in asked])
    theirs_tasks = _for_peer(which, tasks, folder)
    command = [peer_python, str(HERE / "_published_peers.py"), *which.peer, str(theirs_tasks)]
    subprocess.run(
        [*command, str(folder / "programs.jsonl"), str(folder / "theirs.json")], check=True, stdout=subprocess.DEVNULL
    )
    theirs = dict(zip(asked, json.loads((folder / "theirs.json").read_text()), strict=True))
    counts: dict[str, Counter[str]] = {}
    disagreements = []
    for number in asked:
        kind, task_id, _ = found[number]
        row = ours[number]
        both = (row.status == "pass", theirs[number])
        counts.setdefault(kind, Counter())[
            {(True, True): "both pass", (False, False): "both fail"}.get(both, "differ")
        ] += 1
        if both[0] != both[1]:
            disagreements.append({
                "kind": kind, "task_id": task_id, "ours": row.status.value, "theirs": "pass" if both[1] else "fail",
                "detail": row.detail, "program": row.program,
            })  # fmt: skip
    return {
        "tasks": len(tasks),
        "set_aside": dict(summary.set_aside),
        "counts": {kind: dict(sorted(one.items())) for kind, one in counts.items()},
        "disagreements": disagreements,
    }


def _for_peer(which: Set, tasks: list[Task], folder: Path) -> Path:
    """The file for the harness: the published one, or, for LiveCodeBench, the tasks in its own form."""
    if which.peer[0] == "evalplus":
        return which.tasks
    rows = []
    for task in tasks:
        if isinstance(task.check, FunctionCheck):
            inputs = ["\n".join(map(json.dumps, arguments)) for arguments in task.check.inputs]
            outputs = list(map(json.dumps, task.check.expected))
            tests = {"inputs": inputs, "outputs": outputs, "fn_name": task.check.entry_point}
            rows.append({"task_id": task.task_id, "sample": {"input_output": json.dumps(tests)}})
    _write(folder / "peer-tasks.jsonl", rows)
    return folder / "peer-tasks.jsonl"


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def table(results: dict[str, Any]) -> str:
    """The counts, and each disagreement in a line."""
    lines = ["| set | programs | both pass | both fail | differ |", "|---|---|---|---|---|"]
    for title, found in results.items():
        for kind, counts in found["counts"].items():
            figures = [counts.get(name, 0) for name in ("both pass", "both fail", "differ")]
            lines.append(
                f"| {title} ({found['tasks']} tasks) | {sum(figures)} {kind} | " + " | ".join(map(str, figures)) + " |"
            )
    lines += ["", "| set aside or judged otherwise | ours | theirs | our reason |", "|---|---|---|---|"]
    for found in results.values():
        lines += [f"| {task} | set aside | | {_cell(why)} |" for task, why in found["set_aside"].items()]
        for one in found["disagreements"]:
            lines.append(
                f"| {one['task_id']} ({one['kind']}) | {one['ours']} | {one['theirs']} | {_cell(one['detail'])} |"
            )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")[:160]


def bank(folder: Path) -> Path:
    """The bank's held-out function tasks under LiveCodeBench's rule, for its runner: its own rows come without references."""
    rows = [row | {"rule": "livecodebench"} for _, row in read_rows(BANK / "heldout.jsonl")]
    _write(folder / "bank.jsonl", [row for row in rows if "$" not in json.dumps([row["inputs"], row["expected"]])])
    return folder / "bank.jsonl"


def main() -> None:
    """Compare on every set that was given, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="Python of the environment with evalplus==0.3.1")
    parser.add_argument("--humaneval-plus", type=Path, help="HumanEvalPlus.jsonl.gz")
    parser.add_argument("--humaneval-answers", type=Path, help="raw answers: task_id, completion")
    parser.add_argument("--mbpp-plus", type=Path, help="MbppPlus.jsonl.gz")
    parser.add_argument("--mbpp-answers", type=Path)
    parser.add_argument("--livecodebench", type=Path, help="a checkout of the runner")
    parser.add_argument("--mutants", type=int, default=3, help="per task")
    parser.add_argument("--limit", type=int, default=0, help="the first so many tasks of each set; 0: all")
    given = parser.parse_args()
    sets = []
    with tempfile.TemporaryDirectory(prefix="ssd-published-") as name:
        if given.humaneval_plus:
            peer = ("evalplus", "humaneval")
            sets.append(Set(title="HumanEval+", peer=peer, tasks=given.humaneval_plus, answers=given.humaneval_answers))
        if given.mbpp_plus:
            sets.append(
                Set(title="MBPP+", peer=("evalplus", "mbpp"), tasks=given.mbpp_plus, answers=given.mbpp_answers)
            )
        if given.livecodebench:
            peer = ("livecodebench", str(given.livecodebench))
            sets.append(Set(title="our bank, LiveCodeBench's runner", peer=peer, tasks=bank(Path(name))))
        results: dict[str, Any] = {}
        for which in sets:
            folder = Path(name) / str(len(results))
            folder.mkdir()
            results[which.title] = compared(which, given.mutants, given.limit, given.peers_python, folder)
    write_json(HERE / "results" / "published.json", results)
    (HERE / "results" / "published.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
