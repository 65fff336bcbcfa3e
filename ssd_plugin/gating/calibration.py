"""A/A calibration: judge the baseline against itself, many times, before any verdict counts.

Each replicate is judged by the whole policy: every gate that resampling can try sees the same two sides, and the verdict
follows from all of them as in a gate run. `halves`: each task's samples are split at random into two disjoint halves, one a
side; nothing is assumed, but a side has half the samples. `redrawn`: both sides draw as many samples a task as the baseline
has, with replacement; the size is right, the spread too small by (k - 1) / k. `margin_loss` and `double_loss`: as `redrawn`, and
the candidate loses passes of all tasks alike until its pass@1 is lower by exactly the margin of `correctness`, or by twice that.
`lost_tasks`: it loses whole tasks instead, by the margin on average: the loss that is hardest to see in few tasks.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from ssd_plugin.errors import DataError, GateError
from ssd_plugin.gating.gate import Gate, GateContext, Side
from ssd_plugin.gating.held_inputs import HeldInputs
from ssd_plugin.gating.inputs import load_side
from ssd_plugin.gating.isolation import Job, run_apart
from ssd_plugin.gating.policy import Policy
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.run import Bench, call, judge, load_bench, power_table, shortage, with_minimum
from ssd_plugin.gating.verdict import GateResult, Outcome, PowerRow, decide, weigh
from ssd_plugin.metrics.inference import Interval, exact_share
from ssd_plugin.tasks.benchmarks import load_tasks
from ssd_plugin.tasks.schema import Result, Status

_LOSSES = {
    "halves": 0.0,
    "redrawn": 0.0,
    "margin_loss": 1.0,
    "lost_tasks": 1.0,
    "double_loss": 2.0,
}  # in margins of correctness


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment: shares of replicates by outcome (GO, NO-GO, ...), and by gate and status. `alone`: by gate, the share in
    which it alone kept the verdict from GO."""

    name: str
    samples: int
    outcomes: Mapping[str, float]
    gates: Mapping[str, Mapping[str, float]]
    alone: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a policy does on this baseline. `false_block`: an equal candidate (`redrawn`) does not get GO. `false_pass`: one worse
    by exactly the margin of `correctness` gets GO, in `margin_loss` or `lost_tasks`, whichever is more often. `power`: one worse
    by twice the margin gets NO-GO. The last two are None for a policy without `correctness`. `left_out`: gates that resampling
    cannot try (they judge files, not samples). `too_few`: what is needed where there is too little for any GO, or for a GO of an
    equal model with probability 0.8; empty with enough.
    """

    policy: str
    tasks: int
    samples: int
    replicates: int
    alpha: float
    false_block: Interval
    false_pass: Interval | None
    power: Interval | None
    left_out: tuple[str, ...]
    too_few: str
    pass_rate_power: tuple[PowerRow, ...]
    experiments: tuple[Experiment, ...]


def _halves(rows: Sequence[Result], rng: random.Random) -> tuple[list[Result], list[Result]]:
    shuffled = rng.sample(rows, len(rows))
    half = len(rows) // 2
    return shuffled[:half], shuffled[half : 2 * half]


def _redrawn(rows: Sequence[Result], rng: random.Random) -> tuple[list[Result], list[Result]]:
    return rng.choices(rows, k=len(rows)), rng.choices(rows, k=len(rows))


def _worsened(rows: Sequence[Result], share: float, rng: random.Random, *, whole: bool) -> list[Result]:
    """Rows of which `share` of the passes fail: at random, or all those of a `share` of the tasks (`whole`)."""
    lost = {task: rng.random() < share for task in dict.fromkeys(row.task_id for row in rows)} if whole else {}
    return [
        replace(row, status=Status.FAIL)
        if row.status is Status.PASS and (lost[row.task_id] if whole else rng.random() < share)
        else row
        for row in rows
    ]


def _pair(context: GateContext, experiment: str, lost: float, seed: int) -> GateContext:
    """The context of one replicate; `lost`: share of its passes that the candidate loses."""
    rng = random.Random(f"{experiment} {seed}")  # noqa: S311 - resampling, not a secret
    left: list[Result] = []
    right: list[Result] = []
    for rows in context.baseline.by_task.values():
        one, other = _halves(rows, rng) if experiment == "halves" else _redrawn(rows, rng)
        left += one
        right += other
    if lost:
        right = _worsened(right, lost, rng, whole=experiment == "lost_tasks")
    return replace(
        context,
        baseline=replace(context.baseline, rows=tuple(left)),
        candidate=replace(context.baseline, role="candidate", rows=tuple(right)),
    )


def _replicates(
    gate: Gate, settings: object, context: GateContext, losses: Mapping[str, float], count: int
) -> list[GateResult]:
    context.work.mkdir(parents=True, exist_ok=True)
    results = []
    for experiment, lost in losses.items():
        for seed in range(count):
            result = call(gate, _pair(context, experiment, lost, seed), settings)
            results.append(replace(result, measurements=(), findings=()))
    return results


def _experiment(
    name: str, bench: Bench, results: Mapping[str, Sequence[GateResult]], context: GateContext, today: date
) -> Experiment:
    count = len(next(iter(results.values())))
    outcomes: Counter[str] = Counter()
    statuses: dict[str, Counter[str]] = {gate: Counter() for gate in results}
    alone: Counter[str] = Counter()
    for index in range(count):
        now = {
            gate: with_minimum(bench.policy, context, bench.gates[gate].gate, found[index])
            for gate, found in results.items()
        }
        judged = [gate for gate in judge(bench, now, {}) if gate.result.gate in now]
        outcomes[decide(judged, today)[0].value] += 1
        blocking = [gate.result.gate for gate in judged if weigh(gate, today) is not Outcome.GO]
        alone.update(blocking if len(blocking) == 1 else ())
        for gate, result in now.items():
            statuses[gate][result.status.value] += 1
    return Experiment(
        name=name,
        samples=context.baseline.samples_per_task // (2 if name == "halves" else 1),
        outcomes={outcome: number / count for outcome, number in sorted(outcomes.items())},
        gates={gate: {status: n / count for status, n in sorted(found.items())} for gate, found in statuses.items()},
        alone={gate: number / count for gate, number in alone.items()},
    )


def _losses(bench: Bench, baseline: Side) -> dict[str, float]:
    """By experiment, the share of its passes that the candidate loses (at most all of them)."""
    margin = getattr(bench.settings.get("correctness"), "margin", None)
    if margin is None:
        return {name: 0.0 for name, margins in _LOSSES.items() if not margins}
    rates = baseline.pass_rates().values()
    level = sum(rates) / len(rates)
    if level <= margin:
        raise GateError(
            f"pass@1 is {level:.3f}: this baseline cannot show the loss of its margin, whatever the candidate"
        )
    return {name: min(1.0, float(margins * margin / level)) for name, margins in _LOSSES.items()}


def _too_few(policy: Policy, context: GateContext, power: Sequence[PowerRow]) -> str:
    """What the data lack, and what is needed, in a line."""
    if short := shortage(policy, context):
        return f"too few: {short}: no candidate can get GO; give {policy.min_tasks} tasks x {policy.min_samples} samples or more"
    weak = min((row for row in power if row.power < 0.8), key=lambda row: row.power, default=None)
    if weak is None:
        return ""
    if not weak.tasks_needed:
        return f"too few passes: the baseline is not above the margin of {weak.gate}, {weak.margin:g}, so no candidate can pass"
    return (
        f"too few: an equal model passes {weak.gate} with probability {weak.power:.2f}; 0.8 takes {weak.tasks_needed} tasks "
        f"like these {weak.tasks}, or more samples a task, or a margin of {weak.detectable:.3f}"
    )


def _share(experiments: Mapping[str, Experiment], name: str, outcome: Outcome, count: int) -> Interval | None:
    if name not in experiments:
        return None
    return exact_share(round(experiments[name].outcomes.get(outcome.value, 0.0) * count), count)


def _context(bench: Bench, side: Side, tasks: Path, work: Path) -> GateContext:
    """The baseline against itself; each replicate puts redrawn sides in."""
    return GateContext(
        tasks=tuple(task for task in load_tasks(tasks) if task.task_id not in side.set_aside),
        baseline=side,
        candidate=side,
        origin=None,
        model=None,
        baseline_model=None,
        training=(),
        tasks_path=tasks,
        work=work,
        alpha=bench.policy.alpha / bench.policy.looks,
        sandbox=bench.policy.sandbox,
        memo=ProgramMemo(),
        resampled=True,
    )


def calibrate(policy: str, tasks: Path, baseline: Path, work: Path, *, replicates: int = 100) -> Calibration:
    """Run the experiments on a baseline (samples or result file; graded into `work` where it has to be).

    The policy's minimum of samples is taken as met in `halves`, whose sides have half of them by design.

    Raises:
        ConfigError, GateError: the policy cannot be used, or a gate failed (its text is named).
        DataError: fewer than two samples a task.
    """
    bench = load_bench(policy)
    if not bench.policy.grades:
        raise GateError(f"policy {bench.policy.name} judges no samples, so there is nothing to draw anew")
    held = HeldInputs(work / "inputs", work)
    with held.naming_sources():
        side = load_side("baseline", baseline, tasks, held, bench.policy)
    if side.samples_per_task < 2:
        raise DataError(f"{baseline}: calibration needs two samples a task or more; it has {side.samples_per_task}")
    context = _context(bench, side, tasks, work)
    losses = _losses(bench, side)
    tried = {name: found.gate for name, found in bench.gates.items() if found.gate.paired and name != "integrity"}
    jobs = {
        name: Job(
            call=partial(
                _replicates,
                gate,
                bench.settings[name],
                replace(context, work=work / name, instance=name.partition(".")[2]),
                losses,
                replicates,
            ),
            timeout_s=60 + replicates * bench.policy.gates[name].timeout_s,
            memory_mib=bench.policy.gates[name].memory_mib,
        )
        for name, gate in tried.items()
    }
    answers = run_apart(jobs)
    for name, answer in answers.items():
        if answer.failure:
            raise GateError(f"gate {name} failed in calibration: {answer.failure}")
    today = datetime.now(UTC).date()
    parts = {
        experiment: {name: a.results[i * replicates : (i + 1) * replicates] for name, a in answers.items()}
        for i, experiment in enumerate(losses)
    }
    experiments = {name: _experiment(name, bench, found, context, today) for name, found in parts.items()}
    power = power_table(bench, context.baseline, context.alpha)
    go = exact_share(round(experiments["redrawn"].outcomes.get(Outcome.GO.value, 0.0) * replicates), replicates)
    return Calibration(
        policy=bench.policy.name,
        tasks=len(context.tasks),
        samples=side.samples_per_task,
        replicates=replicates,
        alpha=context.alpha,
        left_out=tuple(name for name in bench.policy.gates if name not in tried),
        false_block=replace(go, estimate=1 - go.estimate, low=1 - go.high, high=1 - go.low),
        false_pass=max(
            (_share(experiments, name, Outcome.GO, replicates) for name in ("margin_loss", "lost_tasks")),
            key=lambda found: found.estimate if found else 0.0,
        ),
        power=_share(experiments, "double_loss", Outcome.NO_GO, replicates),
        too_few=_too_few(bench.policy, context, power),
        pass_rate_power=power,
        experiments=tuple(experiments.values()),
    )
