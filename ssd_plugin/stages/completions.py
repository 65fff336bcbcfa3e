"""Completing a set of tasks into a samples file: streamed, resumable, the same bytes however often it was interrupted."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.config import RunConfig
from ssd_plugin.jsonl import JsonObject, sha256_file, sha256_json, write_jsonl
from ssd_plugin.progress import track
from ssd_plugin.records import Sample, Task, iter_tasks
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.sampling.protocol import Request, SamplingParams
from ssd_plugin.stages.partial import PartialFile


@dataclass(kw_only=True)
class Counts:
    """What was sampled. `tokens`: of completions; `truncated`: completions that hit the length limit."""

    completions: int = 0
    tokens: int = 0
    truncated: int = 0

    def counted(self, rows: Iterator[JsonObject]) -> Iterator[JsonObject]:
        """The same samples-file rows, each counted as it passes."""
        for row in rows:
            self.completions += 1
            self.tokens += len(row.get("token_ids", ()))
            self.truncated += row["finish_reason"] == "length"
            yield row

    def as_facts(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def seed_for(run_seed: int, task_id: str, index: int) -> int:
    """The seed of a task's `index`-th sample (63 bits): the same for every model, so that comparisons are paired."""
    digest = hashlib.sha256(f"{run_seed}/{task_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, kw_only=True)
class CompletionJob:
    """Complete every task of a task file `samples_per_task` times with one model and one decode setting."""

    label: str
    model: Path
    tasks: Path
    out: Path
    samples_per_task: int
    params: SamplingParams

    def signature(self, config: RunConfig) -> str:
        """Digest of all that the completions depend on."""
        settings = [asdict(self.params), self.samples_per_task, config.seed, asdict(config.engine)]
        return sha256_json([settings, config.model.system_message, sha256_file(self.tasks), str(self.model)])


def complete(job: CompletionJob, config: RunConfig) -> Counts:
    """Write `job.out`: samples-file rows with `prompt_token_ids`, in task order. Memory grows by an id a sample.

    Raises:
        SamplingError, ResourceError: from the engine; what was finished is kept for the next try.
    """
    encoder = PromptEncoder(job.model, config.model.system_message)
    prompts: dict[str, tuple[int, ...]] = {}  # of the requests in flight only

    def ids() -> Iterator[tuple[Task, str, int]]:
        for task in iter_tasks(job.tasks):
            for index in range(job.samples_per_task):
                yield task, f"{task.task_id}#{index}", index

    def requests() -> Iterator[Request]:
        for task, sample_id, index in ids():
            if sample_id not in partial.offsets:
                prompts[sample_id] = encoder.encode(task.prompt)
                seed = seed_for(config.seed, task.task_id, index)
                yield Request(request_id=sample_id, prompt_token_ids=prompts[sample_id], seed=seed)

    total = sum(1 for _ in ids())
    counts = Counts()
    with PartialFile(job.out, job.signature(config)) as partial:
        if len(partial.offsets) < total:
            with (
                closing(open_sampler(job.model, config.engine)) as sampler,
                track(job.label, total, len(partial.offsets)) as advance,
            ):
                for done in sampler.sample(requests(), job.params):
                    sample = Sample(
                        task_id=done.request_id.rpartition("#")[0],
                        sample_id=done.request_id,
                        completion=done.text,
                        finish_reason=done.finish_reason,
                        token_ids=done.token_ids,
                    )
                    partial.append(sample.to_json() | {"prompt_token_ids": list(prompts.pop(done.request_id))})
                    advance()
        write_jsonl(job.out, counts.counted(partial.rows(sample_id for _, sample_id, _ in ids())))
        partial.remove()
    return counts
