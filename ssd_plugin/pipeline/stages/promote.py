"""Stage `promote`: a signed GO moves the model to the registry that the recipe names; anything else does not."""

from pathlib import Path

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.errors import TrustError
from ssd_plugin.gating.verdict import Outcome
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.model import candidate_model
from ssd_plugin.trust.promotion import promote
from ssd_plugin.trust.registry.uri import open_registry
from ssd_plugin.trust.signing import load_trusted


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write promote/result.json: whether the model was promoted, and where to or why not.

    Raises:
        RegistryError, ResourceError: the registry failed.
    """
    outcome = Outcome(read_json(run / layout.VERDICT)["outcome"])
    registry = config.promote.registry
    promoted, why = False, f"the verdict is {outcome}"
    if outcome is Outcome.GO and not registry:
        why = "no registry is set (promote.registry)"
    elif outcome is Outcome.GO:
        promoted, why = _promote(run, config)
    write_json(run / layout.PROMOTION, {"promoted": promoted, "registry": registry, "why": why})
    return StageReport(summary=f"{'promoted' if promoted else 'not promoted'}: {why}", facts={"promoted": promoted})


def _promote(run: RunDir, config: RunConfig) -> tuple[bool, str]:
    settings = config.promote
    trusted = load_trusted([Path(settings.trust)] if settings.trust else [])
    try:
        done = promote(
            run / layout.VERDICT, candidate_model(run), open_registry(settings.registry, settings.name), trusted
        )
    except TrustError as error:
        return False, str(error)
    return True, f"{done.where} champion is version {done.version}"
