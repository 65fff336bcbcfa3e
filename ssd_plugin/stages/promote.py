"""Stage `promote`: a GO moves the model to the registry that the recipe names; anything else, or no registry, does not."""

from pathlib import Path

from ssd_plugin.config import RunConfig
from ssd_plugin.errors import TrustError
from ssd_plugin.jsonl import read_json, write_json
from ssd_plugin.promotion import promote
from ssd_plugin.rundir import RunDir
from ssd_plugin.stages import StageReport
from ssd_plugin.stages.model import candidate_model
from ssd_plugin.verdict import Outcome


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write promote/result.json: whether the model was promoted, and where to or why not."""
    outcome = Outcome(read_json(run / "gate/verdict.json")["outcome"])
    registry = config.promote.registry
    promoted, why = False, f"the verdict is {outcome}"
    if outcome is Outcome.GO and not registry:
        why = "no registry is set (promote.registry)"
    elif outcome is Outcome.GO:
        promoted, why = _try(run, config)
    write_json(run / "promote/result.json", {"promoted": promoted, "registry": registry, "why": why})
    return StageReport(summary=why if promoted else f"not promoted: {why}", facts={"promoted": promoted})
