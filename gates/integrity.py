"""Whether the grades can be trusted at all: sandbox, canaries, reference solutions, complete pairing. Trouble here is an ERROR:
it is the harness's or the data's, not the candidate's. Two sides with the same answers are no trouble, but compare nothing."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ssd_plugin.gating.gate import Gate, GateContext, Side
from ssd_plugin.gating.paired import refuse
from ssd_plugin.gating.policy import SANDBOX_TIERS
from ssd_plugin.gating.verdict import Finding, GateResult, GateStatus, Measurement
from ssd_plugin.grading.grader import grade_references
from ssd_plugin.grading.judge import Judgement
from ssd_plugin.grading.reference_trial import Tried, suites_beside
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.tasks.schema import Status

_MISSING = re.compile(r"No module named '([\w.]+)'")
_MOST_ASIDE, _TOLD = 0.1, 3  # share of the tasks that may be broken as published, and how many are named in the reason


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`allow_weak_oracle`: accept tasks whose tests share a process with the program (HumanEval's form)."""

    allow_weak_oracle: bool = True


def _side_troubles(side: Side, context: GateContext) -> list[str]:
    expected, found = {task.task_id for task in context.tasks}, set(side.by_task)
    troubles = []
    if expected - found:
        missing = expected - found
        troubles.append(f"{side.role} answers {len(found)} of {len(expected)} tasks; {min(missing)!r} is missing")
    if found - expected:
        troubles.append(f"{side.role} answers {min(found - expected)!r}, which is no task")
    twice = [key for key, count in Counter((row.task_id, row.sample_id) for row in side.rows).items() if count > 1]
    if twice:
        troubles.append(f"{side.role} has {twice[0]} twice")
    counts = {len(rows) for rows in side.by_task.values()}
    if len(counts) > 1:
        troubles.append(f"{side.role} has {min(counts)} samples for some tasks and {max(counts)} for others")
    infra = [row for row in side.rows if row.status is Status.INFRA]
    if infra:
        why = f" (task {infra[0].task_id!r}: {infra[0].detail})" if infra[0].detail else ""
        troubles.append(f"{side.role} has {len(infra)} samples that could not be graded{why}")
    return troubles + _grading_troubles(side, context)


def _grading_troubles(side: Side, context: GateContext) -> list[str]:
    tier = str(side.meta.get("tier"))
    troubles = []
    if tier not in SANDBOX_TIERS or SANDBOX_TIERS.index(tier) < SANDBOX_TIERS.index(context.sandbox):
        troubles.append(
            f"{side.role} was graded in sandbox tier {tier!r}, the policy asks for {context.sandbox!r} or stronger"
        )
    canaries = side.meta.get("canaries", {})
    passed, total = canaries.get("passed"), canaries.get("total")
    if not isinstance(total, int) or total < 1 or passed != total:
        troubles.append(f"{side.role}: {passed} of {total} canary attacks were judged right")
    return troubles


def _grading_differs(sides: Sequence[Side]) -> list[str]:
    """What of the grading is not the same for all sides: a side with more time, or another grader, is not comparable."""
    troubles = []
    for key, what in (
        ("limits", "limits"),
        ("grader", "versions of the grader"),
        ("code", "code or tools of the grader"),
    ):
        found = {side.role: side.meta.get(key) for side in sides}
        first = next(iter(found.values()))
        if other := next((role for role, value in found.items() if value != first), ""):
            troubles.append(
                f"{sides[0].role} and {other} were graded with different {what} ({first!r} and {found[other]!r}); score "
                "all sides anew with the same limits and version (ssd score), or set regrade = true in the policy"
            )
    return troubles


def _set_aside_troubles(context: GateContext, found: Mapping[str, str]) -> list[str]:
    """A side may leave out what is broken, shown here once more, and nothing else; and it must stay the exception."""
    troubles = [
        f"{side.role} leaves out {min(side.set_aside ^ set(found))!r}, or fails to, though its reference here says otherwise"
        for side in context.sides
        if side.set_aside != set(found)
    ]
    total = len(context.tasks) + len(found)
    if len(found) > max(1, _MOST_ASIDE * total):
        name, why = next(iter(found.items()))
        trouble = f"{len(found)} of {total} tasks are broken here, such as {name!r}: {why}"
        if missing := sorted({name for why in found.values() for name in _MISSING.findall(why)}):
            trouble += f"; libraries that are not installed: {', '.join(missing)}"
        troubles.append(trouble)
    return troubles


def _answers(side: Side) -> list[tuple[str, str]]:
    return sorted((row.task_id, row.completion) for row in side.rows)


def check(context: GateContext, settings: Settings) -> GateResult:
    """PASS when nothing is wrong; every trouble is in the reason. INSUFFICIENT when baseline and candidate answer the same."""
    sides = context.sides
    troubles = [trouble for side in sides for trouble in _side_troubles(side, context)]
    troubles += _grading_differs(sides)
    samples = {side.role: side.samples_per_task for side in sides[:2]}
    weak = [task.task_id for task in context.tasks if task.check is not None and task.check.weak_oracle]
    if weak and not settings.allow_weak_oracle:
        troubles.append(f"{len(weak)} tasks have a weak oracle, such as {weak[0]!r}, and the policy allows none")
    if unchecked := [task.task_id for task in context.tasks if task.check is None]:
        troubles.append(f"task {unchecked[0]!r} has no tests")
    gradable = not unchecked and any(task.reference for task in context.tasks)
    trial = (
        grade_references(context.tasks_path) if gradable else Tried(tasks=[], set_aside={}, unproven={}, references={})
    )
    references, set_aside = trial.references, trial.set_aside
    troubles += _set_aside_troubles(context, set_aside)
    failed = {task: judged for task, judged in references.items() if judged.status is not Status.PASS}
    if failed:
        troubles.append(f"{len(failed)} of {len(references)} reference solutions fail, such as that of {min(failed)!r}")
    if troubles:
        return refuse("integrity", GateStatus.ERROR, "; ".join(troubles), [_finding(*one) for one in failed.items()])
    if _answers(context.baseline) == _answers(context.candidate):
        why = "baseline and candidate give the same answers, so nothing was compared; give each model's own samples"
        return refuse("integrity", GateStatus.INSUFFICIENT, why)
    each = " and ".join(map(str, sorted(set(samples.values()))))
    canaries, total = sides[0].meta["canaries"]["total"], len(context.tasks)
    figures = (
        Measurement(
            name="tasks paired", unit="tasks", baseline=float(total), candidate=float(total), delta=0.0, low=None, high=None,
            margin=0.0, tasks=total, status=GateStatus.PASS,
        ),
        Measurement(
            name="tasks whose reference solution passes", unit="tasks", baseline=None, candidate=float(len(references)),
            delta=None, low=None, high=None, margin=None, tasks=total, status=GateStatus.PASS,
        ),
    )  # fmt: skip
    reason = (
        f"{total} tasks paired, {each} samples each, {canaries} canary attacks rejected, "
        f"{len(references)} reference solutions pass, sandbox {sides[1].meta['tier']}"
    )
    if set_aside:
        why = "; ".join(f"{task}: {reason}" for task, reason in islice(set_aside.items(), _TOLD))
        reason += f"; {len(set_aside)} tasks set aside, broken as they are published ({why})"
    if untried := total - len(references):
        reason += f"; {untried} of {total} tasks have no reference solution: their tests were not tried on a known good answer"
    reason += "".join(f"; {side.role}: {side.note}" for side in sides if side.note)
    if weak:
        reason += f"; {len(weak)} tasks have a weak oracle"
    if beside := suites_beside(trial.tasks):
        reason += f", {len(beside)} of them a suite that runs in the program's own process, such as {beside[0]!r}"
    return GateResult(gate="integrity", status=GateStatus.PASS, reason=reason, measurements=figures)


def _finding(task_id: str, judged: Judgement) -> Finding:
    message = f"the reference solution is graded {judged.status}: {judged.detail}"
    return Finding(
        tool="integrity", rule="reference-fails", level="error", message=message, task_id=task_id, side="tasks"
    )


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "sandbox strong enough, canaries rejected, references pass, every task paired, sides not the same answers"
    return [Gate(name="integrity", summary=summary, needs="results", settings=Settings, check=check)]
