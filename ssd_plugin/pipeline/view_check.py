"""Before a model learns from demonstrations: does it do better with one in view? If not, its teacher has nothing to say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import TrainingError
from ssd_plugin.grading.in_memory import Grader
from ssd_plugin.pipeline.rollouts import RolloutSource
from ssd_plugin.pipeline.teacher_views import demonstration_text
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.sampling.protocol import Sampler
from ssd_plugin.tasks.schema import Task


@dataclass(frozen=True, kw_only=True)
class ViewRates:
    """The share of answers that pass, without and with the demonstration in view, one answer to each of `tasks` tasks."""

    tasks: int
    plain: float
    shown: float

    def __str__(self) -> str:
        return f"{self.shown:.0%} of {self.tasks} answers pass with the demonstration in view, {self.plain:.0%} without"


def view_rates(tasks: Sequence[Task], config: RunConfig, encoder: PromptEncoder, sampler: Sampler) -> ViewRates | None:
    """Sample and grade both views of the first `guard.view_tasks` tasks in the run's order; None where none can be graded.

    Raises:
        SamplingError, SandboxError, ResourceError: from the engine or the sandbox.
    """
    tested = [task for task in tasks if task.check is not None]
    count = min(config.guard.view_tasks, len(tested))
    if not count:
        return None
    settings = replace(config, rollout=replace(config.rollout, tasks_per_batch=count, reward="all_cases"))
    shown = [replace(task, prompt=demonstration_text(task), starter_code="") for task in tested]
    rates = []
    with Grader(tested, source=layout.TRAIN_PROMPTS) as grader:
        for given in (tested, shown):
            groups = RolloutSource(given, settings, 1, encoder, grader).batch(1, sampler)
            rates.append(sum(rollout.reward or 0.0 for group in groups for rollout in group) / count)
    return ViewRates(tasks=count, plain=rates[0], shown=rates[1])


def require_gain(rates: ViewRates, config: RunConfig) -> None:
    """Refuse to learn from a teacher that is no better.

    Raises:
        TrainingError: with both rates, and how to go on all the same.
    """
    if rates.shown - rates.plain < config.guard.view_gain:
        raise TrainingError(
            f"there is nothing to expect: {rates}, and guard.view_gain = {config.guard.view_gain:g} is asked for; choose tasks "
            "or a model for which the demonstration helps, or go on all the same with --set guard.view_tasks=0"
        )
