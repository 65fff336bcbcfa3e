"""A reward function for verl, in its `compute_score` form.

    reward.custom_reward_function.path=pkg://ssd_plugin.integrations.rewards.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.tasks=/data/tasks.jsonl

The data's `reward_model.ground_truth` is the task id. verl calls this in threads of its reward workers, one completion each:
those of a process share its sandboxes, and no event loop waits.
"""

from typing import Any

from ssd_plugin.errors import DataError
from ssd_plugin.integrations.rewards.batch import Rewards, reward_options
from ssd_plugin.tasks.schema import Status


def compute_score(
    data_source: str,  # noqa: ARG001 - verl calls with these names
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,  # noqa: ARG001
    *,
    tasks: str = "",
    partial: bool = False,
    thinking: bool = False,
    workers: int = 0,
    **_: Any,
) -> dict[str, float]:
    """`score`, and `acc`: 1 for a program that passes. `tasks` and what follows come from `reward_kwargs`.

    Raises:
        DataError: `tasks` is missing or malformed, or has no task with the id `ground_truth`.
        SandboxError: no sandbox that can be trusted, or it failed.
    """
    if not tasks:
        raise DataError("no tasks: set reward.custom_reward_function.reward_kwargs.tasks to a task file")
    rewards = _rewards(tasks, bool(partial), bool(thinking), int(workers))
    (judged,) = rewards.judged([ground_truth], [solution_str])
    return {"score": rewards.of(judged), "acc": float(judged.judgement.status is Status.PASS)}


_SHARED: dict[tuple[str, bool, bool, int], Rewards] = {}


def _rewards(tasks: str, partial: bool, thinking: bool, workers: int) -> Rewards:
    """One for all threads of a process: of two that come first together, one's is used and the other's was never started."""
    key = (tasks, partial, thinking, workers)
    if key not in _SHARED:
        made = Rewards(tasks, partial=partial, thinking=thinking, options=reward_options(workers))
        _SHARED.setdefault(key, made)
    return _SHARED[key]
