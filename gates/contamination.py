"""Evaluation tasks whose wording stands in the training prompts or outputs: scores on them measure memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.data.overlap import NgramIndex, words
from ssd_plugin.gating.gate import Gate, GateContext
from ssd_plugin.gating.paired import conclude, refuse
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.jsonl import read_jsonl
from ssd_plugin.records import Task
from ssd_plugin.verdict import Finding, GateResult, GateStatus, Measurement


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`n`: words that must agree in a row; `max_share`: of the evaluation tasks, how many may share an n-gram with the training
    data; `template_share`: wording that at least this share of the tasks has in common is a template and does not count."""

    n: int = 10
    max_share: float = 0.02
    template_share: float = 0.05


def _training_texts(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        for _, row in read_jsonl(path):
            yield from (row[key] for key in ("prompt", "completion") if isinstance(row.get(key), str))


def _ngrams(found: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


def own_wording(tasks: Sequence[Task], n: int, template_share: float) -> dict[str, list[str]]:
    """By task: the stretches of its prompt that are left when the tasks' common templates are cut out; a whole prompt of fewer
    than `n` words stays as it is."""
    texts = {task.task_id: words(task.prompt) for task in tasks}
    counts = Counter(gram for found in texts.values() for gram in set(_ngrams(found, n)))
    common = max(3.0, template_share * len(tasks))
    stretches: dict[str, list[str]] = {}
    for task, found in texts.items():
        if len(found) < n:
            stretches[task] = [" ".join(found)] if found else []
            continue
        own = [counts[gram] < common for gram in _ngrams(found, n)]
        stretches[task] = list(_stretches(found, own, n))
    return stretches


def _stretches(found: Sequence[str], own: Sequence[bool], n: int) -> Iterator[str]:
    """Runs of words all of whose n-grams are the task's own."""
    start: int | None = None
    for i, is_own in enumerate([*own, False]):
        if is_own and start is None:
            start = i
        elif not is_own and start is not None:
            yield " ".join(found[start : i + n - 1])
            start = None


def check(context: GateContext, settings: Settings) -> GateResult:
    """BREACH: more tasks than allowed share an n-gram with the training data; each one is named."""
    if not context.training:
        return refuse("contamination", GateStatus.INSUFFICIENT, "no training data was given (--training)")
    stretches = own_wording(context.tasks, settings.n, settings.template_share)
    # The tasks are indexed and the training data, which may be large, streams by.
    index = NgramIndex((text for texts in stretches.values() for text in texts), settings.n)
    if index.keep_shared(_training_texts(context.training)) == 0:
        return refuse("contamination", GateStatus.ERROR, "the training files hold no text (prompt or completion)")
    shared = {task: next(filter(None, map(index.first_shared, texts)), "") for task, texts in stretches.items()}
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
        name=f"tasks that share {settings.n} words in a row with the training data",
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
