"""One samples file out of a task file and a model: the completions that a run's evaluation would make, or a served model's."""

import tempfile
from collections.abc import Callable, Container, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ssd_plugin.config.generating import GenerateConfig
from ssd_plugin.core.files import refuse_special
from ssd_plugin.core.jsonl import JsonObject, sha256_file, sha256_json, write_jsonl
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.errors import DataError, DependencyError
from ssd_plugin.models.weights import resolve
from ssd_plugin.pipeline.samples_file import (
    CompletionJob,
    Counts,
    is_done,
    seed_for,
    sidecar,
    user_turn,
    write_samples,
)
from ssd_plugin.sampling.chat import ChatAnswer, ChatRequest, ChatServer
from ssd_plugin.sampling.protocol import THOUGHT, THOUGHT_ENDS, SamplingParams
from ssd_plugin.tasks.benchmarks import stream_tasks, tasks_file
from ssd_plugin.tasks.schema import Task

FORM = 1  # of a served model's rows: files of another form are begun anew
SEEDS = 2**31  # that a server is asked with: some read no larger number


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A samples file. `source`: what the completions came from; `seeded`: whether that took the seeds."""

    out: Path
    counts: Counts
    source: str
    seeded: bool = True


def generate(tasks: str, out: Path, config: GenerateConfig) -> Generated:
    """Write the samples file `out` with its sidecar. What an earlier try finished is kept, and a finished file of the very same
    settings is left as it is.

    Raises:
        DataError: the tasks cannot be read, or `out` (or its unfinished part) holds other samples.
        ModelError, DependencyError, ConfigError: the model, its engine or its key cannot be had.
        SamplingError, ResourceError: what was finished is kept for the next try.
    """
    for path in (out, sidecar(out)):
        refuse_special(path)
    with tempfile.TemporaryDirectory(prefix="ssd-generate-") as folder:
        prompts = Path(folder) / "prompts.jsonl"
        source = tasks_file(tasks, Path(folder) / "tasks.jsonl")
        if out.resolve() == source.resolve():
            raise DataError(f"--out {out} is the task file; name another file")
        write_jsonl(prompts, (task.to_json() for task in _prompts(source)))
        job = CompletionJob(
            label="generate",
            tasks=prompts,
            out=out,
            samples_per_task=config.samples_per_task,
            params=SamplingParams(max_new_tokens=config.max_new_tokens, **asdict(config.decode)),
        )
        return _served(job, config) if config.server.url else _own(job, config)


def _prompts(path: Path) -> Iterator[Task]:
    """The tasks without what a model is not shown: other tests leave the samples as they are."""
    seen: set[str] = set()
    for where, task in stream_tasks(path):
        if task.task_id in seen:
            raise DataError(f"{where}: task_id {task.task_id!r} appears twice")
        seen.add(task.task_id)
        yield replace(task, check=None, reference="", prelude="", seconds_per_test=0)
    if not seen:
        raise DataError(f"{path}: holds no tasks")


def _own(job: CompletionJob, config: GenerateConfig) -> Generated:
    """By a model that is loaded here."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise DependencyError(
                f"a model of one's own needs {package}: install this project with [embedded], or name a server with --server"
            )
    from ssd_plugin.pipeline.stages.completions import LoadedModel, complete, signature

    found = resolve(config.model.ref, config.model.revision)
    with closing(LoadedModel(found.path, config, found.digest)) as model:
        _refuse_others(job, signature(job, model))
        about = {"model": found.source, "digest": found.digest, "config": asdict(config)}
        counts = complete(job, model, about)
    return Generated(out=job.out, counts=counts, source=found.source)


def _served(job: CompletionJob, config: GenerateConfig) -> Generated:
    """By a model behind a server."""
    model = config.model
    with ChatServer(config.server, model.ref, model.reasoning_effort) as server:
        place = [config.server.url.rstrip("/"), model.ref, server.root]
        asked = [asdict(job.params), job.samples_per_task, config.seed, sha256_file(job.tasks)]
        signature = sha256_json(
            [FORM, place, asked, model.system_message, model.prompt_template, model.reasoning_effort]
        )
        _refuse_others(job, signature)

        def finish(done: Container[int]) -> Iterator[tuple[int, JsonObject]]:
            return _finished(job, config, server, done)

        about = {"model": model.ref, "root": server.root, "config": asdict(config)}
        counts = write_samples(job, signature, finish, shape=_with_thoughts, about=about)
        source = f"{model.ref} at {config.server.url}"
        return Generated(out=job.out, counts=counts, source=source, seeded=server.seeded)


def _refuse_others(job: CompletionJob, signature: str) -> None:
    if job.out.exists() and not is_done(job.out, signature):
        raise DataError(
            f"--out {job.out}: holds other samples, or samples made in another way, and is not written over; "
            "name another file, or delete it first"
        )
    partial = PartialFile(job.out, signature, len(job))
    if not job.out.exists() and partial.holds_others():
        raise DataError(
            f"{partial.path}: is the unfinished part of samples with other settings, another model or another version; give "
            "those again, name another --out, or delete it"
        )


def _finished(
    job: CompletionJob, config: GenerateConfig, server: ChatServer, done: Container[int]
) -> Iterator[tuple[int, JsonObject]]:
    """(place in the job's order, row) as they finish, of the completions whose places are not in `done`."""
    flying: dict[str, tuple[int, str]] = {}

    def requests() -> Iterator[ChatRequest]:
        system = [{"role": "system", "content": text}] if (text := config.model.system_message) else []
        for number, task, index in job.missing(done):
            sample_id = f"{task.task_id}#{index}"
            flying[sample_id] = number, task.task_id
            yield ChatRequest(
                request_id=sample_id,
                messages=(*system, {"role": "user", "content": user_turn(task, config.model)}),
                seed=seed_for(config.seed, task.task_id, index) % SEEDS,
            )

    for answer in server.complete(requests(), job.params):
        number, task_id = flying.pop(answer.request_id)
        yield number, _row(task_id, answer)


def _row(task_id: str, answer: ChatAnswer) -> JsonObject:
    row = {
        "task_id": task_id,
        "sample_id": answer.request_id,
        "completion": answer.text,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }
    return {name: value for name, value in row.items() if value is not None}


def _with_thoughts(rows: Callable[[], Iterator[JsonObject]]) -> Iterator[JsonObject]:
    """The rows; where one ends a thought that it did not begin, the template begins all of them, those cut off inside it too."""
    begun = any(
        THOUGHT not in row["completion"].partition(THOUGHT_ENDS)[0]
        for row in rows()
        if THOUGHT_ENDS in row["completion"]
    )
    return ((row | {"thinking": True} if begun else row) for row in rows())
