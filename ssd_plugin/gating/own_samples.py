"""Refuses a side's samples that cannot be its own: given twice, for models that differ."""

from collections import Counter
from collections.abc import Sequence

from ssd_plugin.core.jsonl import sha256_file
from ssd_plugin.errors import GateError
from ssd_plugin.gating.gate import GateContext, Side
from ssd_plugin.gating.request import GateRequest
from ssd_plugin.gating.verdict import Subject


def require_own_samples(request: GateRequest, subjects: Sequence[Subject]) -> None:
    """Refuse one file as the samples of two models: the candidate's own were forgotten.

    Raises:
        GateError: both sides are one file, and the models given for them differ.
    """
    if request.candidate is None or request.baseline is None:
        return
    models = [{s.path: s.sha256 for s in subjects if s.role == role} for role in ("model", "baseline_model")]
    if all(models) and models[0] != models[1] and sha256_file(request.candidate) == sha256_file(request.baseline):
        raise GateError(
            f"{request.candidate}: is given as the samples of the baseline and of the candidate, whose models differ; "
            "name each one's own with --baseline and --candidate"
        )


def require_other_origin(context: GateContext) -> None:
    """Refuse the candidate as its own generation 0, under whatever file name, sample ids or order: it cannot be below itself.

    Raises:
        GateError: candidate and origin are the same programs and the baseline is not (a model may be compared with itself).
    """
    if context.origin is None:
        return
    candidate = _programs(context.candidate)
    if candidate == _programs(context.origin) != _programs(context.baseline):
        raise GateError("the origin's programs are the candidate's own: name the samples of generation 0 with --origin")


def _programs(side: Side) -> Counter[tuple[str, str]]:
    return Counter((row.task_id, (row.program or row.completion).strip()) for row in side.rows)
