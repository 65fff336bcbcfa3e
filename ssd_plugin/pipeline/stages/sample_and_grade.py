"""Sampling a graded split with one model and one decoding config, and grading what came out."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.grading.grader import Grading
from ssd_plugin.grading.result_files import is_graded
from ssd_plugin.pipeline.samples_file import CompletionJob, Counts
from ssd_plugin.pipeline.stages.completions import LoadedModel, complete
from ssd_plugin.sampling.protocol import SamplingParams
from ssd_plugin.tasks.schema import Status, read_results


@dataclass(frozen=True, kw_only=True)
class Graded:
    """One graded set: where its result file is, and what was sampled for it."""

    results: Path
    counts: Counts

    def pass_rates(self) -> dict[str, float]:
        """The share of passing samples by task (0 to 1), in task order."""
        passed: dict[str, list[bool]] = defaultdict(list)
        for result in read_results(self.results):
            passed[result.task_id].append(result.status is Status.PASS)
        return {task: sum(flags) / len(flags) for task, flags in passed.items()}


@dataclass(frozen=True, kw_only=True)
class Split:
    """A graded split: what grades its task file, how often each task is sampled, the longest completion (tokens)."""

    grading: Grading
    samples_per_task: int
    max_new_tokens: int


def sample_and_grade(split: Split, model: LoadedModel, decode: DecodeConfig, folder: Path, label: str) -> Graded:
    """Write `folder`/samples.jsonl and `folder`/results.jsonl with its sidecar; what is there and still valid is kept.

    Raises:
        SamplingError, SandboxError, ResourceError: what was finished is kept for the next try.
    """
    job = CompletionJob(
        label=label,
        tasks=split.grading.path,
        out=folder / layout.SAMPLES_NAME,
        samples_per_task=split.samples_per_task,
        params=SamplingParams(
            temperature=decode.temperature,
            top_k=decode.top_k,
            top_p=decode.top_p,
            max_new_tokens=split.max_new_tokens,
        ),
    )
    counts = complete(job, model)
    results = folder / layout.RESULTS_NAME
    if not is_graded(results, tasks=split.grading.path, samples=job.out):
        split.grading.score(job.out, results)
    return Graded(results=results, counts=counts)
