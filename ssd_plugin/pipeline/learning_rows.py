"""Rows for the learner out of groups of rollouts, by the routes of the method; and what a batch looked like, for the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.methods.learning import LearningMethod
from ssd_plugin.methods.routes import NONE, Branch, Route
from ssd_plugin.pipeline.rollouts import Group, Rollout
from ssd_plugin.pipeline.teacher_views import TeacherViews, advice_text, demonstration_text
from ssd_plugin.training.learner import Row, Update


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A rollout and the row that it became. `too_long`: its teacher's view did not fit or would have ended its turn: no loss."""

    rollout: Rollout
    row: Row
    too_long: bool = False


def take(groups: Sequence[Group], config: RunConfig, method: LearningMethod, views: TeacherViews) -> list[Taken]:
    """One row per rollout, group by group."""
    return [taken for group in groups for taken in _group_rows(group, config, method, views)]


def _group_rows(group: Group, config: RunConfig, method: LearningMethod, views: TeacherViews) -> list[Taken]:
    rewards = [rollout.reward for rollout in group]
    known = [reward for reward in rewards if reward is not None]
    if method.graded and len(known) < len(group):  # the task is broken: nothing is known of any of its rollouts
        routes = [NONE] * len(group)
    else:
        told = [bool(rollout.feedback) for rollout in group]
        routes = method.routes(config, known if method.graded else [0.0] * len(group), told)
    return [
        _taken(rollout, route, group, views, method.skip_tokens(config))
        for rollout, route in zip(group, routes, strict=True)
    ]


def _taken(rollout: Rollout, route: Route, group: Group, views: TeacherViews, skip: int) -> Taken:
    branch: Branch = route.branch
    view: tuple[int, ...] = ()
    if branch == "teacher":
        view = views.encode(_view_text(rollout, route, group), len(rollout.completion.token_ids))
        branch = branch if view else "none"
    row = Row(
        prompt=rollout.prompt,
        completion=rollout.completion.token_ids,
        sampler=rollout.completion.logprobs or (),
        teacher_prompt=view,
        advantage=route.advantage,
        branch=branch,
        skip=skip,
    )
    return Taken(rollout=rollout, row=row, too_long=branch != route.branch)


def _view_text(rollout: Rollout, route: Route, group: Group) -> str:
    if route.demonstration:
        return demonstration_text(rollout.task)
    if route.sibling is not None:
        sibling = group[route.sibling]
        return advice_text(rollout.task, solution=sibling.program or sibling.completion.text)
    return advice_text(rollout.task, feedback=rollout.feedback)


def log_row(step: int, taken: Sequence[Taken], per_group: int, update: Update) -> JsonObject:
    """What one batch was and did. Shares are of its rollouts, `silent_groups` of its groups; `entropy` and `gap` are null where
    no weight was changed, `reward` where nothing was graded."""
    rollouts = [one.rollout for one in taken]
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    rows = [one.row for one in taken]
    groups = [rows[start : start + per_group] for start in range(0, len(rows), per_group)]
    return {
        "step": step,
        "loss": update.loss,
        "lr": update.lr,
        "grad_norm": update.grad_norm,
        "tokens": update.tokens,
        "updated": update.updated,
        "reward": sum(rewards) / len(rewards) if rewards else None,
        "length": sum(len(row.completion) for row in rows) / len(rows),
        "truncated": sum(one.completion.finish_reason == "length" for one in rollouts) / len(rollouts),
        "entropy": update.entropy,
        "gap": update.gap,
        "taught": sum(row.branch == "teacher" for row in rows) / len(rows),
        "silent_groups": sum(not any(row.teaches for row in group) for group in groups) / len(groups),
        "repeats": _repeats(rollouts),
        "too_long": sum(one.too_long for one in taken) / len(taken),
    }


def _repeats(rollouts: Sequence[Rollout]) -> float:
    """The share of rollouts whose text another rollout of the same task has already."""
    texts = Counter((rollout.task.task_id, rollout.completion.text) for rollout in rollouts)
    return 1 - len(texts) / len(rollouts)


def rollout_row(step: int, place: int, taken: Taken) -> JsonObject:
    """A row of the rollouts file, `place` in its batch: a training example as the gates read it, without what the teacher saw."""
    rollout, row = taken.rollout, taken.row
    return {
        "step": step,
        "task_id": rollout.task.task_id,
        "sample_id": f"{rollout.task.task_id}#{step}.{place}",
        "completion": rollout.completion.text,
        "prompt_token_ids": list(row.prompt),
        "completion_token_ids": list(row.completion),
        "reward": rollout.reward,
        "branch": row.branch,
        "advantage": row.advantage,
    }
