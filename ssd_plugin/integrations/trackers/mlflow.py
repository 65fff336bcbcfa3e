"""MLflow: a run of an experiment. Where to is MLflow's own setting (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, credentials)."""

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ssd_plugin.core.plugins import hookimpl
from ssd_plugin.integrations.tracking.require import require
from ssd_plugin.integrations.tracking.tracker import TrackedRun, Tracker

EXPERIMENT = "ssd runs"
BATCH = 100  # MLflow's limit of parameters and tags a call; of metrics it is 1000
LONGEST = 500  # characters of a parameter or tag that every MLflow store takes; config.json holds the whole


def _log(client: Any, run_id: str, run: TrackedRun) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in run.figures.items()]
    metrics += [Metric(name, value, now, step) for name, points in run.curves.items() for step, value in points]
    params = [Param(key, str(value)[:LONGEST]) for key, value in run.settings.items()]
    tags = [RunTag(f"ssd.{key}", value[:LONGEST]) for key, value in run.tags.items()]
    for kind, rows in (("metrics", metrics), ("params", params), ("tags", tags)):
        for start in range(0, len(rows), BATCH):
            client.log_batch(run_id, **{kind: rows[start : start + BATCH]})


def send(run: TrackedRun) -> str:
    """One MLflow run: figures and curves as metrics, settings as parameters, verdict and gates as tags, report as artifacts."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # MLflow's own default waits for minutes
    from mlflow import MlflowClient

    client = MlflowClient()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    known = client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else client.create_experiment(name)
    run_id = client.create_run(experiment, run_name=run.name).info.run_id
    _log(client, run_id, run)
    for path in run.files:
        client.log_artifact(run_id, str(path), "report")
    client.set_terminated(run_id)
    return f"{client.tracking_uri} run {run_id}"


@hookimpl
def ssd_trackers() -> Sequence[Tracker]:
    """This file's tracker."""
    return [Tracker(name="mlflow", check=partial(require, "mlflow"), send=send)]
