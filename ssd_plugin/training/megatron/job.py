"""What the trainer and its ranks say to each other through the job's work directory. No framework is imported here."""

import dataclasses
from pathlib import Path
from typing import Any

from ssd_plugin.config.parsing import build
from ssd_plugin.config.schema import TrainConfig
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.protocol import TrainJob

JOB_FILE = "ranks.json"  # the job, as the ranks read it, and how many rows a step has
ROWS = "rows"  # that number's name in it, and beside the job's identity: a restart on other GPUs keeps it
STEPS = "steps.jsonl"  # a row an iteration, also of those that a restart repeats
FAILURE = "failure.json"  # why the ranks gave up
REPORT = "export.json"  # the step that was exported
LOGITS = "logits.safetensors"  # the probe examples' logits by the trained model
EXPORTED = "exported"  # its Hugging Face directory, until the trainer moves it to its place
REHEARSAL = "rehearsal"  # where the export is tried before the first step
REHEARSED = "rehearsed.json"  # the frameworks' versions with which it was right
# Examples on which the trained and the exported model are compared, and how much of each: well over gpt-oss's sliding window
# of 128 tokens, since within it a window of another size cannot be seen.
PROBES, PROBE_TOKENS = 4, 384


def checkpoints_of(job: TrainJob) -> Path:
    """Where Megatron keeps its checkpoints."""
    return job.work / "megatron"


def job_to_json(job: TrainJob) -> dict[str, Any]:
    """Plain values; `job_from_json(job_to_json(job)) == job`."""
    values = dataclasses.asdict(job)
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def job_from_json(values: dict[str, Any]) -> TrainJob:
    """The job that `job_to_json` wrote."""
    paths = {name: Path(values[name]) for name in ("base_model", "examples", "work", "output")}
    config = build(TrainConfig, values["config"], "train")
    return TrainJob(**paths, base_digest=values["base_digest"], seed=values["seed"], config=config)


def probes(examples: Examples) -> list[list[int]]:
    """Token ids of the first few examples, each cut to its beginning (the logits of 384 tokens take 230 MB)."""
    return [list(examples[index].token_ids[:PROBE_TOKENS]) for index in range(min(PROBES, len(examples)))]
