"""Stage `gate`: the candidate against the base at its best decode; the verdict, and the evidence for it."""

from pathlib import Path

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.stage_timing import spent
from ssd_plugin.evidence.gate_run import judge_and_record
from ssd_plugin.gating.request import GateRequest, benchmark_options
from ssd_plugin.gating.verdict import in_short
from ssd_plugin.methods import method_of
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.model import base_model, candidate_model


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write gate/verdict.json and the evidence beside it.

    Raises:
        ConfigError, GateError: the policy or a side cannot be used. A failed gate is a verdict, not an exception.
    """
    request = GateRequest(
        policy=config.gate.policy,
        tasks=run / layout.HELD_OUT_TASKS,
        baseline=run / layout.evaluated_results("base_best"),
        candidate=run / layout.evaluated_results("candidate"),
        origin=Path(config.gate.origin) if config.gate.origin else None,
        model=candidate_model(run),
        baseline_model=base_model(run, config).path,
        benchmarks=benchmark_options(config.gate.benchmarks),
        training=(run / layout.TRAIN_PROMPTS, run / method_of(config).trained_on),
        out=run / layout.GATE,
    )
    with spent("gates"):
        verdict = judge_and_record(request, Path(config.gate.sign_key) if config.gate.sign_key else None)
    return StageReport(
        summary=f"{verdict.outcome}: {in_short(verdict)}",
        facts={"outcome": verdict.outcome.value, "exit_code": verdict.outcome.exit_code},
    )
