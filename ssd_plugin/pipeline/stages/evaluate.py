"""Stage `evaluate`: base, base at its own best decode, and candidate on the held-out split, same seeds and engine."""

import shutil
from contextlib import closing
from pathlib import Path

from ssd_plugin.config.schema import DecodeConfig, RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.grading.grader import Grading
from ssd_plugin.methods import method_of
from ssd_plugin.metrics.evaluation import labels
from ssd_plugin.metrics.summary import summarise
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.completions import LoadedModel
from ssd_plugin.pipeline.stages.model import base_model, candidate_model
from ssd_plugin.pipeline.stages.sample_and_grade import Split, sample_and_grade


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write evaluate/{base,base_best,candidate}/ and evaluate/summary.json.

    Raises:
        SamplingError, SandboxError, ResourceError: what was finished is kept.
    """
    choice = read_json(run / layout.CHOICE)
    decodes = {
        "base": config.evaluate.base,
        "base_best": DecodeConfig(**choice["base"]),
        "candidate": DecodeConfig(**choice["candidate"]),
    }
    tasks = run / layout.HELD_OUT_TASKS
    label_of = labels(method_of(config).candidate)
    results: dict[str, Path] = {}
    with Grading(tasks) as grading:
        split = Split(
            grading=grading,
            samples_per_task=config.evaluate.samples_per_task,
            max_new_tokens=config.evaluate.max_new_tokens,
        )
        frozen = base_model(run, config)
        base = LoadedModel(frozen.path, config, frozen.digest)
        candidate = LoadedModel(candidate_model(run), config)
        for model, sides in ((base, ("base", "base_best")), (candidate, ("candidate",))):
            with closing(model):
                for side in sides:
                    folder, label = run / layout.evaluated(side), f"evaluate {label_of[side]}"
                    if side == "base_best" and decodes[side] == decodes["base"]:
                        shutil.copytree(run / layout.evaluated("base"), folder, dirs_exist_ok=True)
                    results[side] = sample_and_grade(split, model, decodes[side], folder, label).results
    summary = summarise(tasks, results, decodes, label_of)
    write_json(run / layout.EVALUATION, summary)
    delta = summary["deltas"]["candidate-base_best"]["pass_at_1"]
    line = f"pass@1 against the base's best decode {delta['estimate']:+.3f} [{delta['low']:+.3f}, {delta['high']:+.3f}]"
    return StageReport(summary=line, facts=summary["deltas"])
