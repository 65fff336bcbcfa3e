"""Stage `evaluate`: base, base at its own best decode, and candidate on the held-out split, same seeds and engine."""

from pathlib import Path

from ssd_plugin.config import DecodeConfig, RunConfig
from ssd_plugin.evaluation.summary import summarise
from ssd_plugin.jsonl import read_json, write_json
from ssd_plugin.rundir import RunDir
from ssd_plugin.stages import StageReport
from ssd_plugin.stages.graded import sample_and_grade
from ssd_plugin.stages.model import base_model, candidate_model

SIDES = {"base": "base", "base_best": "base at its best decode", "candidate": "SSD"}


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write evaluate/{base,base_best,candidate}/ and evaluate/summary.json.

    Raises:
        SamplingError, SandboxError, ResourceError: what was finished is kept.
    """
    choice = read_json(run / "select/choice.json")
    base = base_model(run, config)
    plan: dict[str, tuple[Path, DecodeConfig]] = {
        "base": (base, config.evaluate.base),
        "base_best": (base, DecodeConfig(**choice["base"])),
        "candidate": (candidate_model(run), DecodeConfig(**choice["candidate"])),
    }
    tasks = run / "prompts/heldout.jsonl"
    results: dict[str, Path] = {}
    for side, (model, decode) in plan.items():
        graded = sample_and_grade(
            label=f"evaluate {SIDES[side]}",
            model=model,
            tasks=tasks,
            folder=run / f"evaluate/{side}",
            decode=decode,
            samples=config.evaluate.samples_per_task,
            max_new_tokens=config.evaluate.max_new_tokens,
            config=config,
        )
        results[side] = graded.results
    decodes = {side: decode for side, (_, decode) in plan.items()}
    summary = summarise(tasks, results, decodes, SIDES)
    write_json(run / "evaluate/summary.json", summary)
    delta = summary["deltas"]["candidate-base_best"]["pass_at_1"]
    line = f"pass@1 against the base's best decode {delta['estimate']:+.3f} [{delta['low']:+.3f}, {delta['high']:+.3f}]"
    return StageReport(summary=line, facts=summary["deltas"])
