"""`ssd train`: a run directory's line up to the stage `train`, on this machine or over several nodes."""

import os
from pathlib import Path

import click

from ssd_plugin.cli.options import continue_pipeline, json_option, own_settings, run_dir_option
from ssd_plugin.errors import ConfigError


@click.command()
@run_dir_option
@click.option("--nodes", type=click.IntRange(min=1), default=1, help="Over so many: start it once on each of them.")
@json_option
def command(run_dir: Path, nodes: int, as_json: bool) -> None:
    """The pipeline up to the fine-tuned model, with the run directory's own settings.

    Example: ssd train --run-dir runs/ssd_smollm2_135m
    """
    if nodes == 1:
        continue_pipeline(run_dir, "train", as_json)
        return
    from ssd_plugin.training.megatron.nodes import Node, work_together

    backend = own_settings(run_dir).train.backend
    if backend != "megatron":
        raise ConfigError(f"--nodes {nodes}: train.backend = {backend} trains on one machine; leave it out")
    node = Node.scheduled(os.environ, nodes)
    work_together(node, run_dir, lambda: continue_pipeline(run_dir, "train", as_json))
