"""What a gate is, and all that it gets to see. Third-party gates build on this file and `paired.py` alone."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from ssd_plugin.config.parsing import Within
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.verdict import GateResult
from ssd_plugin.tasks.schema import Result, Status, Task

Margin = Annotated[float, Within(0, 1, open_ends=True)]  # a tolerated loss: 0 shows nothing, 1 passes everything
Share = Annotated[float, Within(0, 1)]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side's graded samples. `meta` is the grader's sidecar; `note`: why a given result file was graded again, or who graded
    it, where that is not this user's grader; "" otherwise."""

    role: str  # baseline, candidate or origin
    results: Path
    rows: tuple[Result, ...]
    meta: Mapping[str, Any]
    note: str = ""

    @cached_property
    def by_task(self) -> dict[str, list[Result]]:
        """Rows by task id, in file order."""
        tasks: dict[str, list[Result]] = {}
        for row in self.rows:
            tasks.setdefault(row.task_id, []).append(row)
        return tasks

    @property
    def set_aside(self) -> frozenset[str]:
        """The tasks that the grader found broken in a published benchmark, and left out."""
        return frozenset(self.meta.get("set_aside") or ())

    @property
    def samples_per_task(self) -> int:
        """The fewest samples any task has; 0 without rows."""
        return min(map(len, self.by_task.values()), default=0)

    def rates(self, holds: Callable[[Result], bool]) -> dict[str, float]:
        """By task id, the share of the task's samples for which `holds` is true."""
        return {task: statistics.fmean(map(holds, rows)) for task, rows in self.by_task.items()}

    def pass_rates(self) -> dict[str, float]:
        """pass@1 by task id."""
        return self.rates(lambda row: row.status is Status.PASS)


@dataclass(frozen=True, kw_only=True)
class BenchmarkFiles:
    """What another harness wrote of both sides, as it wrote it."""

    baseline: tuple[Path, ...]
    candidate: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class GateContext:
    """The inputs of one gate run. Paths are read-only for gates, except `work`, a scratch directory of the gate's own.

    Where a policy has no samples graded, there are no tasks and the sides are empty; no gate that needs them is in such a policy.
    """

    tasks: tuple[Task, ...]  # without those that were set aside
    baseline: Side
    candidate: Side
    origin: Side | None  # generation 0; None: the baseline is generation 0
    model: Path | None
    baseline_model: Path | None
    training: tuple[Path, ...]  # prompts and samples that the candidate was trained on
    tasks_path: Path
    work: Path
    alpha: float  # one-sided error of each test
    sandbox: str  # weakest sandbox tier the policy accepts
    memo: ProgramMemo
    holder: int = (
        0  # the process that holds the models' weights open: theirs are links to its files; 0: plain directories
    )
    benchmarks: Mapping[str, BenchmarkFiles] = field(default_factory=dict)  # by the name that the policy gives each
    instance: str = ""  # what the policy calls this one of several of a gate: "mmlu" for [gates.benchmarks.mmlu]
    resampled: bool = False  # calibration: both sides come from one, so figures of the weights do not apply

    @property
    def sides(self) -> tuple[Side, ...]:
        """Baseline, candidate and, if there is one, origin."""
        return (self.baseline, self.candidate, *([self.origin] if self.origin else ()))


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A gate: a name, what it needs, its settings with defaults, and the check.

    `settings`: a frozen dataclass; the policy's table for the gate (without `tier` and `timeout_s`) becomes an instance. A field
    says its bounds in its type (`Margin`, `Share`, `Annotated[int, Within(1, 9)]`); `ssd gate --check-policy` holds it to them.
    `paired`: its figures compare tasks, so the policy's `min_tasks` and `min_samples` apply.
    `power_margin`: the setting that bounds a loss of pass@1, if there is one; its power is printed beforehand.
    """

    name: str
    summary: str
    needs: str
    settings: type[Any]
    check: Callable[[GateContext, Any], GateResult]
    paired: bool = True
    power_margin: str = ""


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """For gates that have nothing to set."""
