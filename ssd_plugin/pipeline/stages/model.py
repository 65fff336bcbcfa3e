"""The two models of a run: the frozen base, held to the digest that the run began with, and the candidate."""

from pathlib import Path

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.errors import RunDirError
from ssd_plugin.models.weights import ModelDir, resolve
from ssd_plugin.pipeline.run_directory import RunDir


def base_model(run: RunDir, config: RunConfig) -> ModelDir:
    """The base model on this machine.

    Raises:
        ModelError: it cannot be had.
        RunDirError: it is not the one that the run began with.
    """
    model = resolve(config.model.ref, config.model.revision)
    expected = read_json(run / layout.BASE_MODEL)["digest"]
    if model.digest != expected:
        raise RunDirError(
            f"{config.model.ref}: digest {model.digest[:12]} is not the base model this run began with "
            f"({expected[:12]}); restore it, pin model.revision, or start another --run-dir"
        )
    return model


def candidate_model(run: RunDir) -> Path:
    """The fine-tuned model's directory."""
    return run / layout.CANDIDATE_MODEL
