"""One gate run, top to bottom: policy, gates, sides, power, integrity, looks, every other gate apart, verdict."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from ssd_plugin.config.parsing import build
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.plugins import Plugin
from ssd_plugin.core.workplace import GATES, Workplace
from ssd_plugin.errors import ConfigError, PluginError, SsdError
from ssd_plugin.gating.benchmark_inputs import benchmark_digests, hold_benchmarks, require_named
from ssd_plugin.gating.discovery import LoadedGate, load_gates
from ssd_plugin.gating.gate import BenchmarkFiles, Gate, GateContext, Side
from ssd_plugin.gating.held_inputs import HeldInputs
from ssd_plugin.gating.held_model import HeldModel, hold_all, model_subjects, require_untouched
from ssd_plugin.gating.inputs import drop_other_sides, load_side
from ssd_plugin.gating.interim_looks import default_ledger, identify, record_look, weights_identity
from ssd_plugin.gating.isolation import Answer, Job, one_result, run_apart
from ssd_plugin.gating.own_samples import require_other_origin, require_own_samples
from ssd_plugin.gating.paired import pass_rate_power
from ssd_plugin.gating.policy import INTEGRITY, SANDBOX_TIERS, Policy, kind_of, load_policy
from ssd_plugin.gating.programs import ProgramMemo
from ssd_plugin.gating.request import GateRequest, resolve
from ssd_plugin.gating.verdict import (
    GateResult,
    GateStatus,
    JudgedGate,
    Looks,
    PowerRow,
    Subject,
    Tier,
    Tool,
    Verdict,
    decide,
    write_verdict,
)
from ssd_plugin.tasks.benchmarks import load_tasks

_LARGEST = 10**9  # of any number in a gate's settings: more is a slip that would end in ERROR
_NOT_RUN = "not run: integrity did not pass"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A policy with the gates it names, found and set. A gate of the policy that nobody registered is not in `gates`;
    `plugins` are all that were loaded."""

    policy: Policy
    gates: Mapping[str, LoadedGate]
    settings: Mapping[str, Any]
    plugins: tuple[Plugin, ...]


def _settings(name: str, gate: Gate, table: Mapping[str, Any]) -> Any:
    settings = build(gate.settings, table, f"gates.{name}")  # holds fields to the bounds that their types say
    for key, value in vars(settings).items():
        if key.endswith("margin") and not 0 < value < 1:  # a margin of 100 points would pass everything
            raise ConfigError(f"gates.{name}.{key} = {value!r} is not allowed; allowed: above 0, below 1")
        if isinstance(value, int | float) and not 0 <= value <= _LARGEST:
            raise ConfigError(f"gates.{name}.{key} = {value!r:.40} is not allowed; allowed: 0 to {_LARGEST}")
    return settings


def load_bench(reference: str) -> Bench:
    """Load a policy and its gates, and check each gate's settings.

    Raises:
        ConfigError: the policy or a gate's settings hold a value that is not allowed.
        PluginError: a plugin that the policy names cannot be loaded.
    """
    policy = load_policy(reference)
    try:
        registered = load_gates(policy.plugins)
        gates = {name: registered[kind_of(name)] for name in policy.gates if kind_of(name) in registered}
        settings = {name: _settings(name, found.gate, policy.gates[name].settings) for name, found in gates.items()}
    except (ConfigError, PluginError) as error:
        raise type(error)(f"{reference}: {error}") from error
    plugins = {found.plugin.distribution: found.plugin for found in registered.values()}
    return Bench(policy=policy, gates=gates, settings=settings, plugins=tuple(plugins.values()))


def load_context(request: GateRequest, policy: Policy, work: Path, alpha: float, held: HeldInputs) -> GateContext:
    """Read the tasks and grade or read every side, all from copies in `held`; none where the policy judges no samples.

    Raises:
        SsdError: a file is missing or malformed, or the sandbox cannot be trusted.
    """
    context = _without_samples(work, alpha, policy, hold_benchmarks(request, held))
    if request.tasks is None or request.baseline is None or request.candidate is None:
        return context
    tasks = held.copy(request.tasks)
    held.judge("tasks", tasks)
    training = tuple(held.copy(path) for path in request.training)
    for path in training:
        held.judge("training", path)

    def side(role: str, path: Path) -> Side:
        return load_side(role, path, tasks, held, policy)

    baseline, candidate = side("baseline", request.baseline), side("candidate", request.candidate)
    return replace(
        context,
        tasks=tuple(task for task in load_tasks(tasks) if task.task_id not in baseline.set_aside),
        baseline=baseline,
        candidate=candidate,
        origin=None if request.origin is None else side("origin", request.origin),
        training=training,
        tasks_path=tasks,
    )


def _without_samples(work: Path, alpha: float, policy: Policy, benchmarks: Mapping[str, BenchmarkFiles]) -> GateContext:
    """A context whose sides are empty."""
    baseline, candidate = (Side(role=role, results=Path(), rows=(), meta={}) for role in ("baseline", "candidate"))
    return GateContext(
        tasks=(),
        baseline=baseline,
        candidate=candidate,
        origin=None,
        model=None,
        baseline_model=None,
        training=(),
        tasks_path=Path(),
        work=work,
        alpha=alpha,
        sandbox=policy.sandbox,
        memo=ProgramMemo(),
        benchmarks=benchmarks,
    )


def _tools(bench: Bench) -> tuple[Tool, ...]:
    own = [Tool(name=p.distribution, version=p.version, sha256=p.sha256) for p in bench.plugins]
    versions = {name: metadata.version(name) for name in ("ruff", "bandit", "scipy", "numpy", "pluggy")}
    others = [Tool(name="python", version=platform.python_version()), Tool(name="linux", version=platform.release())]
    return tuple(own + others + [Tool(name=name, version=version) for name, version in versions.items()])


def weakest_tier(sides: Sequence[Side]) -> str:
    """The weakest sandbox tier that graded any side, empty where none was graded here; an unknown tier counts as the weakest of
    all."""
    if not any(side.rows for side in sides):
        return ""
    order = {tier: index for index, tier in enumerate(SANDBOX_TIERS)}
    return min((str(side.meta.get("tier")) for side in sides), key=lambda tier: order.get(tier, -1))


def power_table(bench: Bench, baseline: Side, alpha: float) -> tuple[PowerRow, ...]:
    """What each test of pass@1 can see on this baseline; no gate's code runs here."""
    margins = {
        name: getattr(bench.settings[name], found.gate.power_margin)
        for name, found in bench.gates.items()
        if found.gate.power_margin
    }
    return tuple(row for name, margin in margins.items() for row in pass_rate_power(name, baseline, margin, alpha))


def call(gate: Gate, context: GateContext, settings: Any) -> GateResult:
    """What the gate says, under the name that the policy calls it by."""
    result = gate.check(context, settings)
    own = context.instance and result.gate == gate.name
    return replace(result, gate=f"{gate.name}.{context.instance}") if own else result


def _call(gate: Gate, context: GateContext, settings: Any) -> list[GateResult]:
    context.work.mkdir(parents=True, exist_ok=True)
    return [call(gate, context, settings)]


def shortage(policy: Policy, context: GateContext) -> str:
    """What there is less of than the policy's minimum, in words; empty when there is enough."""
    samples = min(side.samples_per_task for side in context.sides)
    if len(context.tasks) < policy.min_tasks:
        return f"{len(context.tasks)} tasks, the policy asks for {policy.min_tasks}"
    if samples < policy.min_samples:
        return f"{samples} samples a task, the policy asks for {policy.min_samples}"
    return ""


def with_minimum(policy: Policy, context: GateContext, gate: Gate, result: GateResult) -> GateResult:
    """A PASS of a gate that compares tasks becomes INSUFFICIENT on fewer tasks or samples than the policy asks for."""
    if not gate.paired or result.status is not GateStatus.PASS:
        return result
    short = shortage(policy, context)
    if not short:
        return result
    return GateResult(
        gate=result.gate,
        status=GateStatus.INSUFFICIENT,
        reason=f"{short} ({result.reason})",
        measurements=result.measurements,
        findings=result.findings,
    )


def judge(bench: Bench, results: Mapping[str, GateResult], seconds: Mapping[str, float]) -> tuple[JudgedGate, ...]:
    """Every gate of the policy with its weight; one without a result is MISSING."""
    judged = []
    for name, place in bench.policy.gates.items():
        missing = "no built-in gate or allowed plugin registered it" if name not in bench.gates else "it gave no result"
        result = results.get(name, GateResult(gate=name, status=GateStatus.MISSING, reason=missing))
        plugin = bench.gates[name].plugin if name in bench.gates else None
        judged.append(
            JudgedGate(
                result=result,
                tier=place.tier,
                required=place.tier is not Tier.ADVISORY,
                override=bench.policy.override_of(name),
                seconds=round(seconds.get(name, 0.0), 3),
                plugin=f"{plugin.distribution} {plugin.version}" if plugin else "",
            )
        )
    return tuple(judged)


def _verdict(bench: Bench, gates: tuple[JudgedGate, ...], looks: Looks, reason: str = "", **parts: Any) -> Verdict:
    now = datetime.now(UTC).replace(microsecond=0)
    outcome, because = decide(gates, now.date())
    return Verdict(
        outcome=outcome,
        reason=reason or because,
        promotable=bench.policy.promotable,
        policy=bench.policy.reference,
        gates=gates,
        tools=_tools(bench),
        looks=looks,
        created=now.isoformat(),
        expires=(now + timedelta(days=bench.policy.valid_days)).isoformat(),
        **({"subjects": (), "sandbox": "", "power": ()} | parts),
    )


def _look(ledger: Path | None, policy: Policy, context: GateContext, subjects: tuple[Subject, ...]) -> Looks:
    tasks = next((subject.sha256 for subject in subjects if subject.role == "tasks"), "")
    files = {subject.path: subject.sha256 for subject in subjects if subject.role == "model"}
    candidate = "" if context.model is None else weights_identity(context.model, files, context.baseline_model)
    graded = {side.role: side for side in context.sides if side.rows}
    judged = identify(tasks, graded, benchmark_digests(subjects), candidate)
    return record_look(ledger or default_ledger(), policy, judged)


def _no_look(policy: Policy) -> Looks:
    return Looks(look=0, allowed=policy.looks, reruns=0, alpha=policy.alpha / policy.looks)


def run_gates(
    request: GateRequest,
    *,
    on_power: Callable[[Sequence[PowerRow]], None] = lambda _: None,
    on_gate: Callable[[str, Answer], None] = lambda *_: None,
    on_sides: Callable[[Sequence[Side]], None] = lambda _: None,
) -> Verdict:
    """Judge the candidate and write `out`/verdict.json; the caller holds `out` (`holding.held`).

    `on_power` hears the power table before any gate sees the candidate; `on_gate` each gate as it ends; `on_sides` the sides
    as they are judged. Once the policy is
    read, whatever prevents a judgement (unreadable sides, a sandbox that cannot be trusted, no looks left) is an ERROR verdict.

    Raises:
        ConfigError, PluginError: the policy, or a plugin it names, cannot be used; nothing is written.
    """
    bench = load_bench(request.policy)
    request.out.mkdir(parents=True, exist_ok=True)
    (request.out / layout.VERDICT_NAME).unlink(missing_ok=True)  # an older GO must not outlive a run that fails
    try:
        with Workplace(GATES) as place, ExitStack() as stack:
            require_named(request, bench.policy)
            work = place.path
            given = resolve(request)
            models = hold_all({"model": given.model, "baseline_model": given.baseline_model}, work / "models", stack)
            verdict = _run(bench, given, models, work, on_power, on_gate, on_sides)
    except SsdError as error:
        verdict = _verdict(bench, (), _no_look(bench.policy), reason=" ".join(str(error).split()))
    write_verdict(request.out / layout.VERDICT_NAME, verdict)
    return verdict


def _run(
    bench: Bench,
    request: GateRequest,
    models: Mapping[str, HeldModel],
    work: Path,
    on_power: Callable[[Sequence[PowerRow]], None],
    on_gate: Callable[[str, Answer], None],
    on_sides: Callable[[Sequence[Side]], None],
) -> Verdict:
    policy = bench.policy
    directories = {role: one.directory for role, one in models.items()}
    held = HeldInputs(work / "inputs", request.out)
    with held.naming_sources():
        context = replace(
            load_context(request, policy, work, policy.alpha / policy.looks, held),
            model=directories.get("model"),
            baseline_model=directories.get("baseline_model"),
            holder=os.getpid(),
        )
    on_sides(context.sides)
    subjects = (*held.subjects(), *model_subjects(models))
    require_own_samples(request, subjects)
    require_other_origin(context)
    drop_other_sides(request.out, [request.out / one.path for one in subjects])
    power = power_table(bench, context.baseline, context.alpha)
    on_power(power)
    jobs = _jobs(bench, context)
    answers = run_apart({INTEGRITY: jobs.pop(INTEGRITY)}, on_gate) if policy.grades else {}
    if not policy.grades or _holds(answers[INTEGRITY]):
        looks = _look(request.ledger, policy, context, subjects)
        answers |= run_apart(jobs, on_gate)
    else:
        looks = _no_look(policy)
    results = {
        name: with_minimum(policy, context, found.gate, one_result(name, answers[name], found.gate.paired))
        if name in answers
        else GateResult(gate=name, status=GateStatus.INSUFFICIENT, reason=_NOT_RUN)
        for name, found in bench.gates.items()
    }
    results = {name: replace(result, reason=held.by_source(result.reason)) for name, result in results.items()}
    held.require_untouched()
    require_untouched(models)
    judged = judge(bench, results, {name: answer.seconds for name, answer in answers.items()})
    return _verdict(bench, judged, looks, subjects=subjects, sandbox=weakest_tier(context.sides), power=power)


def _jobs(bench: Bench, context: GateContext) -> dict[str, Job]:
    """Each gate's call with its limits, in the policy's order."""
    jobs = {}
    for name, found in bench.gates.items():
        own = replace(context, work=context.work / name, instance=name.partition(".")[2])
        place = bench.policy.gates[name]
        call = partial(_call, found.gate, own, bench.settings[name])
        jobs[name] = Job(call=call, timeout_s=place.timeout_s, memory_mib=place.memory_mib)
    return jobs


def _holds(integrity: Answer) -> bool:
    """Whether there are grades to trust and to compare. If not, the candidate is not judged at all: no look is spent on it."""
    return one_result(INTEGRITY, integrity, paired=True).status is GateStatus.PASS
