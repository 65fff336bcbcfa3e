"""Evaluation tasks whose wording stands in the training prompts or outputs: scores on them measure memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ssd_plugin.config.parsing import Within
from ssd_plugin.core.jsonl import read_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.gating.gate import Gate, GateContext, Share
from ssd_plugin.gating.paired import conclude, refuse
from ssd_plugin.gating.verdict import Finding, GateResult, GateStatus, Measurement
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.tasks.overlap import NgramIndex, own_wording

_TEXTS = ("prompt", "completion")  # fields of a training row


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`n`: words that must agree in a row, or all of a shorter prompt; `max_share`: of the evaluation tasks, how many may share
    that with the training data; `template_share`: wording that at least this share of the tasks has in common is a template and
    does not count."""

    n: Annotated[int, Within(1, 1000)] = 10
    max_share: Share = 0.02
    template_share: Share = 0.05


def _training_texts(paths: Sequence[Path]) -> Iterator[str]:
    """All that the candidate was trained on.

    Raises:
        DataError: a file is unreadable, or a row has no text in the fields that are read: what is not read cannot be cleared.
    """
    for path in paths:
        for number, row in read_jsonl(path):
            found = [row[key] for key in _TEXTS if row.get(key) is not None]
            if not found or not all(isinstance(text, str) for text in found):
                raise DataError(
                    f"{path}:{number}: training data needs text in the field 'prompt' or 'completion' of every row, and no "
                    "other form of it; write the row's text there"
                )
            yield from found


def check(context: GateContext, settings: Settings) -> GateResult:
    """BREACH: more tasks than allowed share their wording with the training data; each one is named."""
    if not context.training:
        return refuse("contamination", GateStatus.INSUFFICIENT, "no training data was given (--training)")
    prompts = {task.task_id: task.prompt for task in context.tasks}
    stretches = own_wording(prompts, settings.n, settings.template_share)
    # The tasks are indexed and the training data, which may be large, streams by.
    index = NgramIndex((text for texts in stretches.values() for text in texts), settings.n)
    try:
        read = index.keep_shared(_training_texts(context.training))
    except DataError as error:
        return refuse("contamination", GateStatus.ERROR, str(error))
    if read == 0:
        return refuse("contamination", GateStatus.ERROR, "the training files hold no text (prompt or completion)")
    shared = {task: next(filter(None, map(index.first_kept, texts)), "") for task, texts in stretches.items()}
    findings = [
        Finding(
            tool="contamination",
            rule="shared-wording",
            level="warning",
            message=f"the prompt shares {text[:200]!r} with the training data",
            task_id=task,
            side="tasks",
        )
        for task, text in shared.items()
        if text
    ]
    share = len(findings) / len(shared)
    figure = Measurement(
        name=f"tasks that share {settings.n} words in a row, or a whole shorter prompt, with the training data",
        unit="share of tasks",
        baseline=None,
        candidate=share,
        delta=None,
        low=None,
        high=None,
        margin=settings.max_share,
        tasks=len(shared),
        status=GateStatus.PASS if share <= settings.max_share else GateStatus.BREACH,
        less_is_better=True,
    )
    return conclude("contamination", [figure], findings, f"{len(findings)} of {len(shared)} tasks")


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "evaluation tasks do not share their wording with the training data"
    needs = "training prompts and samples"
    return [Gate(name="contamination", summary=summary, needs=needs, settings=Settings, check=check, paired=False)]
