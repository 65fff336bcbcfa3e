"""The exact job files that an executor would submit, without submitting."""

import contextlib
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

import fiddle
import nemo_run as run
import yaml
from nemo_run.cli import parse_cli_args
from nemo_run.run.torchx_backend.schedulers.api import get_executor_str

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.integrations.nemo.executors import FACTORIES
from ssd_plugin.integrations.nemo.launch import add_stages


def build_executor(name: str, fields: Iterable[str]) -> Any:
    """The executor of that name with `field=value` texts laid over its factory's defaults.

    Raises:
        ConfigError: no such executor or field, a bad value, or what the executor itself lacks (a package, a kubeconfig).
    """
    if name not in FACTORIES:
        raise ConfigError(f"no executor {name!r}; known: {', '.join(FACTORIES)}")
    try:
        return fiddle.build(parse_cli_args(FACTORIES[name](), list(fields)))
    except Exception as error:  # executors raise anything, from ImportError to their client library's own
        raise ConfigError(f"executor {name}: {' '.join(str(error).split())}") from error


def _job_file(executor: Any, request: Any) -> str:
    """What is submitted: a TrainJob's or a SkyPilot task's YAML, Slurm's batch script."""
    if hasattr(executor, "get_job_body"):
        return str(yaml.safe_dump(executor.get_job_body(request.name, request.cmd), sort_keys=False))
    if hasattr(request, "task"):
        return str(yaml.safe_dump(request.task.to_yaml_config(), sort_keys=False))
    return f"{request}\n"


def render(config: RunConfig, run_dir: str, executor: Any) -> dict[str, str]:
    """The job file of each stage, by name, as NeMo-Run would submit it. Job ids of earlier stages, which only the
    scheduler knows, are written as `JOB_OF_stage`."""
    files = {}
    with (
        contextlib.redirect_stdout(sys.stderr),
        tempfile.TemporaryDirectory() as base,
        run.Experiment(config.recipe, id="EXPERIMENT", executor=executor, base_dir=base) as experiment,
    ):
        add_stages(experiment, executor, config, run_dir)
        for job in experiment.jobs:
            job.prepare()
            scheduler = get_executor_str(job.executor)
            if hasattr(job.executor, "dependencies"):
                job.executor.dependencies = [f"{scheduler}://nemo_run/JOB_OF_{name}" for name in job.dependencies]
            request = experiment._runner.dryrun(job._executable, scheduler, cfg=job.executor).request
            files[job.id] = _job_file(job.executor, request).replace(base, "NEMORUN_HOME")
    return files
