"""A world of made-up tasks and graded sides, so that every rule can be tried without a sandbox or a model."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ssd_plugin.core.jsonl import sha256_file, write_jsonl
from ssd_plugin.gating.gate import GateContext, Side
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.request import GateRequest
from ssd_plugin.gating.verdict import GateResult
from ssd_plugin.grading.result_files import write_sidecar
from ssd_plugin.grading.rows import program_of
from ssd_plugin.tasks.schema import FunctionCheck, Result, Status, Task

DOMAINS = ("strings", "lists", "numbers", "dates")
_BODIES = (
    "    total = 0\n    for item in values:\n        total += item * {n}\n    return total",
    "    return sum(item * {n} for item in values)",
    "    result = list(map(lambda item: item * {n}, values))\n    return sum(result)",
    "    if not values:\n        return 0\n    return values[0] * {n} + solve(values[1:])",
    "    out = []\n    while values:\n        out.append(values.pop() * {n})\n    return sum(out)",
    "    from functools import reduce\n    return reduce(lambda a, b: a + b * {n}, values, 0)",
    "    import math\n    return math.fsum(item * {n} for item in values)",
    "    k = {n}\n    return sum([k * item for item in sorted(values)])",
)


def program(rng: random.Random) -> str:
    """One of a few dozen ways to write the same function."""
    body = rng.choice(_BODIES).format(n=rng.choice((2, 3, 5)))
    return f"def solve(values):\n{body}\n"


def make_tasks(count: int) -> list[Task]:
    check = FunctionCheck(entry_point="solve", inputs=(([1, 2],), ([3],)), expected=(6, 6))
    return [
        Task(task_id=f"t{n:03d}", prompt=f"Write def solve(values) number {n}.", domain=DOMAINS[n % 4], check=check)
        for n in range(count)
    ]


def make_rows(
    tasks: Sequence[Task], *, samples: int = 10, rate: float = 0.6, seed: int = 0, difficulty: int = 7
) -> list[Result]:
    """Samples of an imaginary model; a task's chance to pass comes from `difficulty` (the same for every model) and `rate`."""
    rng, fate = random.Random(seed), random.Random(difficulty)
    rows = []
    for task in tasks:
        chance = min(1.0, max(0.0, rate + fate.uniform(-0.4, 0.4)))
        for number in range(samples):
            text = program(rng)
            status = Status.PASS if rng.random() < chance else Status.FAIL
            rows.append(
                Result(
                    task_id=task.task_id,
                    sample_id=f"s{number}",
                    completion=text,
                    status=status,
                    program=text,
                    finish_reason="stop",
                )
            )
    return rows


def edit(
    rows: Sequence[Result], change: Callable[[Result], Result], share: float, *, passing: bool = True
) -> list[Result]:
    """`change` applied to a share of the rows (of the passing ones, unless told otherwise), spread evenly."""
    rng = random.Random(99)
    return [change(row) if (row.status is Status.PASS or not passing) and rng.random() < share else row for row in rows]


def with_program(text: str) -> Callable[[Result], Result]:
    """Puts lines in front of a program that otherwise stays as it is."""
    return lambda row: replace(row, program=text + row.program, completion=text + row.completion)


@dataclass
class World:
    """A directory with a task file, and sides written as `ssd score` would."""

    root: Path
    tasks: list[Task]

    def __post_init__(self) -> None:
        write_jsonl(self.tasks_path, (task.to_json() for task in self.tasks))

    @property
    def tasks_path(self) -> Path:
        return self.root / "tasks.jsonl"

    def write(self, name: str, rows: Sequence[Result], **meta: Any) -> Path:
        """The rows as side `name`, which says so in every answer: sides that answer the same compare nothing."""
        path = self.root / f"{name}.jsonl"
        by_id = {task.task_id: task for task in self.tasks}

        def said(row: Result) -> Result:
            row = replace(row, completion=f"{row.completion}# {name}\n")
            return replace(row, program=program_of(row, by_id.get(row.task_id, self.tasks[0])) or "")

        write_jsonl(path, (said(row).to_json() for row in rows))
        write_sidecar(path, {**self.meta(path), **meta})
        return path

    def meta(self, results: Path) -> dict[str, Any]:
        return {
            "schema": "ssd-score/1",
            "tier": "namespaces",
            "canaries": {"passed": 9, "total": 9},
            "tasks_sha256": sha256_file(self.tasks_path),
            "results_sha256": sha256_file(results),
        }

    def request(self, baseline: Path, candidate: Path, policy: str, **changes: Any) -> GateRequest:
        return GateRequest(
            policy=policy,
            tasks=self.tasks_path,
            baseline=baseline,
            candidate=candidate,
            out=self.root / "out",
            **changes,
        )

    def context(self, baseline: Sequence[Result], candidate: Sequence[Result], **changes: Any) -> GateContext:
        def side(role: str, rows: Sequence[Result]) -> Side:
            meta = {"tier": "namespaces", "canaries": {"passed": 9, "total": 9}}
            return Side(role=role, results=self.root / f"{role}.jsonl", rows=tuple(rows), meta=meta)

        context = GateContext(
            tasks=tuple(self.tasks),
            baseline=side("baseline", baseline),
            candidate=side("candidate", candidate),
            origin=None,
            model=None,
            baseline_model=None,
            training=(),
            tasks_path=self.tasks_path,
            work=self.root / "work",
            alpha=0.025,
            sandbox="landlock",
            memo=ProgramMemo(),
        )
        context.work.mkdir(exist_ok=True)
        return replace(context, **changes)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """164 tasks in four domains."""
    return World(tmp_path, make_tasks(164))


@pytest.fixture
def check(world: World) -> Callable[..., GateResult]:
    """Run one built-in gate on two sides, with its default settings."""
    from ssd_plugin.gating.discovery import load_gates

    def run(gate: str, baseline: Sequence[Result], candidate: Sequence[Result], **settings: Any) -> GateResult:
        found = load_gates()[gate].gate
        return found.check(world.context(baseline, candidate), found.settings(**settings))

    return run


class Toolbox:
    """The helpers above, for tests (test modules cannot import each other)."""

    make_tasks = staticmethod(make_tasks)
    make_rows = staticmethod(make_rows)
    edit = staticmethod(edit)
    with_program = staticmethod(with_program)
    World = World


@pytest.fixture
def tools() -> type[Toolbox]:
    """Builders of rows and worlds."""
    return Toolbox
