"""Weights & Biases: a run of a project. Where to is W&B's own setting (WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, its login).

With WANDB_MODE=offline the run lies in the run directory, `tracking/wandb`, for `wandb sync`.
"""

import os
from collections.abc import Sequence
from functools import partial

from ssd_plugin.core.plugins import hookimpl
from ssd_plugin.integrations.tracking.require import require
from ssd_plugin.integrations.tracking.tracker import TrackedRun, Tracker

PROJECT = "ssd"


def send(run: TrackedRun) -> str:
    """One W&B run: curves by step, figures and verdict in its summary, settings in its config, the report as an artifact."""
    import wandb

    done = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run.name,
        config=dict(run.settings),
        dir=str(run.folder),
        settings=wandb.Settings(console="off", silent=True),
    )
    by_step: dict[int, dict[str, float]] = {}
    for name, points in run.curves.items():
        for step, value in points:
            by_step.setdefault(step, {})[name] = value
    for step, row in sorted(by_step.items()):
        done.log(row, step=step)
    done.summary.update({**run.figures, **run.tags})
    report = wandb.Artifact(f"report-{done.id}", type="report")
    for path in run.files:
        report.add_file(str(path))
    done.log_artifact(report)
    where = str(done.url or done.dir)
    done.finish()
    return where


@hookimpl
def ssd_trackers() -> Sequence[Tracker]:
    """This file's tracker."""
    return [Tracker(name="wandb", check=partial(require, "wandb"), send=send)]
