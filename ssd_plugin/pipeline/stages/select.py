"""Stage `select`: T_eval for the candidate, and the base's own best, by the same sweep of the development split.

No figure that is reported comes from these tasks: a setting chosen on the tasks that judge it flatters itself.
"""

from contextlib import closing
from dataclasses import asdict

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, write_json
from ssd_plugin.grading.grader import Grading
from ssd_plugin.metrics.decoding_choice import best
from ssd_plugin.metrics.inference import share_interval
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.completions import LoadedModel
from ssd_plugin.pipeline.stages.model import base_model, candidate_model
from ssd_plugin.pipeline.stages.sample_and_grade import Split, sample_and_grade


def _sweep(run: RunDir, config: RunConfig, split: Split, side: str, model: LoadedModel) -> list[JsonObject]:
    """One row per decoding config: pass@1 on the development split with its interval over tasks."""
    cells: list[JsonObject] = []
    with closing(model):
        for decode in config.select.grid():
            graded = sample_and_grade(
                split, model, decode, run / f"{layout.selected(side)}/{decode.label}", f"select {side} {decode.label}"
            )
            interval = share_interval(list(graded.pass_rates().values()))
            figures = {"pass_at_1": interval.estimate, "low": interval.low, "high": interval.high}
            cells.append({"side": side} | asdict(decode) | figures)
    return cells


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write select/choice.json: the grid of both sides and the setting chosen for each.

    Raises:
        SamplingError, SandboxError, ResourceError: what was finished is kept.
    """
    with Grading(run / layout.DEV_TASKS) as grading:
        split = Split(
            grading=grading,
            samples_per_task=config.select.samples_per_task,
            max_new_tokens=config.evaluate.max_new_tokens,
        )
        frozen = base_model(run, config)
        base = _sweep(run, config, split, "base", LoadedModel(frozen.path, config, frozen.digest))
        candidate = _sweep(run, config, split, config.method, LoadedModel(candidate_model(run), config))
    chosen = {"base": best(base), "candidate": best(candidate)}
    write_json(
        run / layout.CHOICE,
        {"grid": [*base, *candidate], **{side: asdict(decode) for side, decode in chosen.items()}},
    )
    summary = (
        f"T_eval {chosen['candidate'].temperature:g} for the candidate, {chosen['base'].temperature:g} for the base"
    )
    return StageReport(summary=summary, facts={side: asdict(decode) for side, decode in chosen.items()})
