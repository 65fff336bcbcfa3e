"""Completing a set of tasks into a samples file: streamed, resumable, the same bytes however often it was interrupted."""

import hashlib
from collections import deque
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.jsonl import (
    JsonObject,
    parse_line,
    read_json,
    read_jsonl,
    read_lines,
    sha256_file,
    sha256_json,
    write_json,
    write_jsonl,
)
from ssd_plugin.core.progress import track
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.core.source_digest import code_digest
from ssd_plugin.core.stage_timing import spent, spent_on_each
from ssd_plugin.core.tool_versions import tool_versions
from ssd_plugin.methods.base import SAMPLING_TOOLS
from ssd_plugin.models.weights import model_digest
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.sampling.protocol import Request, Sampler, SamplingParams
from ssd_plugin.tasks.schema import Sample, Task, task_from_json


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


class LoadedModel:
    """A model directory; its sampler and tokenizer are opened at the first need and serve every setting after that."""

    def __init__(self, path: Path, config: RunConfig, digest: str = "") -> None:
        """Nothing is loaded yet. `digest`: that of the directory's files, if it is known."""
        self.path = path
        self._digest = digest
        self.config = config
        self._sampler: Sampler | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the directory's files."""
        return self._digest or model_digest(self.path)

    @property
    def sampler(self) -> Sampler:
        """The engine with the model in it."""
        if self._sampler is None:
            with spent("loading"):
                self._sampler = open_sampler(self.path, self.config.engine)
        return self._sampler

    @cached_property
    def encoder(self) -> PromptEncoder:
        """Renders its prompts."""
        return PromptEncoder(self.path, self.config.model.system_message, self.config.model.reasoning_effort)

    def close(self) -> None:
        """Free the model, if it was loaded."""
        if self._sampler is not None:
            self._sampler.close()


def user_text(task: Task) -> str:
    """The statement, and the code to start from where the task has some that the statement does not show."""
    starter = task.starter_code.strip()
    if not starter or starter in task.prompt:
        return task.prompt
    return f"{task.prompt}\n\nStart from this code:\n```python\n{starter}\n```"


@dataclass(frozen=True, kw_only=True)
class CompletionJob:
    """Complete every task of a task file `samples_per_task` times with one decoding config into the samples file `out`."""

    label: str
    tasks: Path
    out: Path
    samples_per_task: int
    params: SamplingParams

    def signature(self, model: LoadedModel) -> str:
        """Digest of all that the completions depend on."""
        config = model.config
        asked = [
            asdict(self.params),
            self.samples_per_task,
            config.seed,
            asdict(config.engine),
            sha256_file(self.tasks),
        ]
        turns = [config.model.system_message, config.model.reasoning_effort, config.model.prompt_template]
        return sha256_json([asked, turns, model.digest, code_digest(__name__), tool_versions(SAMPLING_TOOLS)])

    def __len__(self) -> int:
        """How many completions it asks for."""
        return sum(1 for _ in read_lines(self.tasks)) * self.samples_per_task

    def missing(self, done: Container[int]) -> Iterator[tuple[int, Task, int]]:
        """(place in the job's order, task, which of its samples) of every completion whose place is not in `done`. Tasks with
        nothing missing are not parsed, so that a late restart begins as soon as an early one."""
        for place, (number, _, line) in enumerate(read_lines(self.tasks)):
            first = place * self.samples_per_task
            if wanted := [index for index in range(self.samples_per_task) if first + index not in done]:
                where = f"{self.tasks}:{number}"
                task = task_from_json(parse_line(line, where), where)
                for index in wanted:
                    yield first + index, task, index


def complete(job: CompletionJob, model: LoadedModel) -> Counts:
    """Write `job.out`: samples-file rows with `prompt_token_ids`, in task order. Memory grows by eight bytes per sample.

    A file that is there already and was made from the very same things is kept.

    Raises:
        SamplingError, ResourceError: from the engine; what was finished is kept for the next try.
    """
    signature = job.signature(model)
    counts = Counts()
    if _is_done(job.out, signature):
        deque(counts.counted(row for _, row in read_jsonl(job.out)), maxlen=0)
        return counts
    total = len(job)
    with PartialFile(job.out, signature, total) as partial:
        if len(partial) < total:
            with track(job.label, total, len(partial)) as advance:
                for number, row in _finished(job, model, partial):
                    partial.append(number, row)
                    advance()
        write_jsonl(job.out, counts.counted(partial.rows(total)))
        write_json(_key(job.out), {"signature": signature, "sha256": sha256_file(job.out)})
        partial.remove()
    return counts


def _finished(job: CompletionJob, model: LoadedModel, done: Container[int]) -> Iterator[tuple[int, JsonObject]]:
    """(place in the job's order, row) as they finish, of the completions whose places are not in `done`."""
    config = model.config
    encoder = model.encoder  # here, so that loading it is not charged to the model's compute
    flying: dict[str, tuple[int, tuple[int, ...]]] = {}  # place and prompt of the requests in flight only

    def requests() -> Iterator[Request]:
        for number, task, index in job.missing(done):
            prompt = encoder.encode(config.model.prompt_template.replace("{prompt}", user_text(task)))
            sample_id = f"{task.task_id}#{index}"
            flying[sample_id] = number, prompt
            seed = seed_for(config.seed, task.task_id, index)
            yield Request(request_id=sample_id, prompt_token_ids=prompt, seed=seed)

    for completion in spent_on_each("model", model.sampler.sample(requests(), job.params)):
        number, prompt = flying.pop(completion.request_id)
        sample = Sample(
            task_id=completion.request_id.rpartition("#")[0],
            sample_id=completion.request_id,
            completion=completion.text,
            finish_reason=completion.finish_reason,
            thinking=encoder.opens_thought,
            token_ids=completion.token_ids,
        )
        yield number, sample.to_json() | {"prompt_token_ids": list(prompt)}


def _key(out: Path) -> Path:
    return out.with_name(out.name + ".key.json")


def _is_done(out: Path, signature: str) -> bool:
    if not (out.exists() and _key(out).exists()):
        return False
    return bool(read_json(_key(out)) == {"signature": signature, "sha256": sha256_file(out)})
