"""A samples file in the making: what it is to hold, in which order, and how it is kept when the making is interrupted."""

import hashlib
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.config.schema import ModelConfig
from ssd_plugin.core.jsonl import (
    JsonObject,
    parse_line,
    read_json,
    read_jsonl,
    read_lines,
    sha256_file,
    write_json,
    write_jsonl,
)
from ssd_plugin.core.progress import track
from ssd_plugin.core.resumable import PartialFile
from ssd_plugin.sampling.protocol import SamplingParams
from ssd_plugin.tasks.schema import Task, task_from_json

Rows = Iterator[JsonObject]


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
            self.tokens += len(row.get("token_ids", ())) or row.get("completion_tokens", 0)
            self.truncated += row["finish_reason"] == "length"
            yield row

    def as_facts(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def seed_for(run_seed: int, task_id: str, index: int) -> int:
    """The seed of a task's `index`-th sample (63 bits): the same for every model, so that comparisons are paired."""
    digest = hashlib.sha256(f"{run_seed}/{task_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def user_text(task: Task) -> str:
    """The statement, and the code to start from where the task has some that the statement does not show."""
    starter = task.starter_code.strip()
    if not starter or starter in task.prompt:
        return task.prompt
    return f"{task.prompt}\n\nStart from this code:\n```python\n{starter}\n```"


def user_turn(task: Task, model: ModelConfig) -> str:
    """What the user says: the task's text, in the model's template for it."""
    return model.prompt_template.replace("{prompt}", user_text(task))


@dataclass(frozen=True, kw_only=True)
class CompletionJob:
    """Complete every task of a task file `samples_per_task` times with one decoding config into the samples file `out`."""

    label: str
    tasks: Path
    out: Path
    samples_per_task: int
    params: SamplingParams

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


def write_samples(
    job: CompletionJob,
    signature: str,
    finish: Callable[[Container[int]], Iterator[tuple[int, JsonObject]]],
    *,
    shape: Callable[[Callable[[], Rows]], Rows] = lambda rows: rows(),
    about: Mapping[str, Any] | None = None,
) -> Counts:
    """Write `job.out` and its sidecar, which says what it depends on (`signature`) and whatever `about` tells beside that.

    `finish` yields (place in the job's order, row) of what is not in the places that it is given, as they finish; `shape` makes
    the rows that are written out of all of them, which it may go through more than once.

    Raises:
        SamplingError, ResourceError: what was finished is kept for the next try.
    """
    counts = Counts()
    if is_done(job.out, signature):
        deque(counts.counted(row for _, row in read_jsonl(job.out)), maxlen=0)
        return counts
    total = len(job)
    with PartialFile(job.out, signature, total) as partial:
        if len(partial) < total:
            with track(job.label, total, len(partial)) as advance:
                for number, row in finish(partial):
                    partial.append(number, row)
                    advance()
        write_jsonl(job.out, counts.counted(shape(lambda: partial.rows(total))))
        write_json(sidecar(job.out), {**(about or {}), "signature": signature, "sha256": sha256_file(job.out)})
        partial.remove()
    return counts


def sidecar(out: Path) -> Path:
    """Where the facts about a samples file stand."""
    return out.with_name(out.name + ".key.json")


def is_done(out: Path, signature: str) -> bool:
    """Whether `out` is there as it was written, and was made from what `signature` names."""
    if not (out.exists() and sidecar(out).exists()):
        return False
    known = read_json(sidecar(out))
    return isinstance(known, dict) and (known.get("signature"), known.get("sha256")) == (signature, sha256_file(out))
