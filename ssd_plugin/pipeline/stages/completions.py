"""Completing a set of tasks into a samples file: streamed, resumable, the same bytes however often it was interrupted."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from ssd_plugin.config.generating import GenerateConfig
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.jsonl import JsonObject, sha256_file, sha256_json
from ssd_plugin.core.source_digest import code_digest
from ssd_plugin.core.stage_timing import spent, spent_on_each
from ssd_plugin.core.tool_versions import tool_versions
from ssd_plugin.methods.base import SAMPLING_TOOLS
from ssd_plugin.models.weights import model_digest
from ssd_plugin.pipeline.samples_file import CompletionJob, Counts, seed_for, user_turn, write_samples
from ssd_plugin.sampling import open_sampler
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.sampling.protocol import Request, Sampler
from ssd_plugin.tasks.schema import Sample


class LoadedModel:
    """A model directory; its sampler and tokenizer are opened at the first need and serve every setting after that."""

    def __init__(self, path: Path, config: RunConfig | GenerateConfig, digest: str = "") -> None:
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


def signature(job: CompletionJob, model: LoadedModel) -> str:
    """Digest of all that the completions depend on."""
    config = model.config
    asked = [
        asdict(job.params),
        job.samples_per_task,
        config.seed,
        asdict(config.engine),
        sha256_file(job.tasks),
    ]
    turns = [config.model.system_message, config.model.reasoning_effort, config.model.prompt_template]
    return sha256_json([asked, turns, model.digest, code_digest(__name__), tool_versions(SAMPLING_TOOLS)])


def complete(job: CompletionJob, model: LoadedModel, about: Mapping[str, Any] | None = None) -> Counts:
    """Write `job.out`: samples-file rows with `prompt_token_ids`, in task order. Memory grows by eight bytes per sample.

    A file that is there already and was made from the very same things is kept.

    Raises:
        SamplingError, ResourceError: from the engine; what was finished is kept for the next try.
    """
    return write_samples(job, signature(job, model), lambda done: _finished(job, model, done), about=about)


def _finished(job: CompletionJob, model: LoadedModel, done: Container[int]) -> Iterator[tuple[int, JsonObject]]:
    """(place in the job's order, row) as they finish, of the completions whose places are not in `done`."""
    config = model.config
    encoder = model.encoder  # here, so that loading it is not charged to the model's compute
    flying: dict[str, tuple[int, tuple[int, ...]]] = {}  # place and prompt of the requests in flight only

    def requests() -> Iterator[Request]:
        for number, task, index in job.missing(done):
            prompt = encoder.encode(user_turn(task, config.model))
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
