"""Which rollouts of a group are rewarded, which listen to a teacher, and what that teacher sees: pure functions of rewards.

A group is all rollouts of one task. Sources: SDFT arXiv:2601.19897, SDPO arXiv:2601.20802, SRPO arXiv:2604.02288.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Branch = Literal["policy", "teacher", "none"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """What becomes of one rollout. The teacher sees the task's `demonstration`, the answer of another rollout of the group
    (`sibling`, its place), or `feedback` on this one."""

    branch: Branch
    advantage: float = 0.0
    demonstration: bool = False
    sibling: int | None = None
    feedback: bool = False


NONE = Route(branch="none")


def group_advantages(rewards: Sequence[float], *, divide_by_std: bool) -> list[float]:
    """Each reward minus the mean of its group (all rollouts of one task, whatever becomes of them), divided by the group's
    standard deviation where that is asked for. A group of equal rewards has advantages of exactly 0.
    """
    if len(set(rewards)) < 2:
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    deviations = [reward - mean for reward in rewards]
    if not divide_by_std:
        return deviations
    std = math.sqrt(math.fsum(d * d for d in deviations) / (len(rewards) - 1))
    return [deviation / std if std else 0.0 for deviation in deviations]


def demonstrated(count: int) -> list[Route]:
    """SDFT: every rollout listens to the teacher that sees the demonstration."""
    return [Route(branch="teacher", demonstration=True)] * count


def rewarded(rewards: Sequence[float], *, divide_by_std: bool) -> list[Route]:
    """GRPO: every rollout by its advantage in the group."""
    advantages = group_advantages(rewards, divide_by_std=divide_by_std)
    return [Route(branch="policy", advantage=advantage) for advantage in advantages]


def taught(rewards: Sequence[float], has_feedback: Sequence[bool], *, success: float) -> list[Route]:
    """SDPO: a teacher that sees the group's first success that is not the rollout itself, else the feedback on it. A rollout
    with neither is left alone, so a lone success is."""
    routes = []
    for place, told in enumerate(has_feedback):
        sibling = _sibling(rewards, place, success)
        if sibling is not None:
            routes.append(Route(branch="teacher", sibling=sibling))
        else:
            routes.append(Route(branch="teacher", feedback=True) if told else NONE)
    return routes


def routed(rewards: Sequence[float], *, success: float, divide_by_std: bool) -> list[Route]:
    """SRPO: failures of a group that has a success listen to a teacher that sees it; all else is rewarded, with advantages over
    the whole group."""
    routes = rewarded(rewards, divide_by_std=divide_by_std)
    for place, reward in enumerate(rewards):
        sibling = _sibling(rewards, place, success)
        if reward < success and sibling is not None:
            routes[place] = Route(branch="teacher", sibling=sibling)
    return routes


def _sibling(rewards: Sequence[float], place: int, success: float) -> int | None:
    return next((other for other, reward in enumerate(rewards) if reward >= success and other != place), None)
