"""Published benchmarks from a local file, or from the hub by name at a pinned state.

load_tasks(Path("HumanEval.jsonl.gz"))                         a file as published, or the project's own task file
fetch("livecodebench-v6:2025-02-01:2025-05-31")                by name; LiveCodeBench with a window of contest dates
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import sha256_file, write_jsonl
from ssd_plugin.errors import DataError, DependencyError, HubUnreachableError
from ssd_plugin.tasks.files import SUFFIXES, read_rows
from ssd_plugin.tasks.published import recognise
from ssd_plugin.tasks.schema import Task, task_from_json


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set on the hub: what pins its content is the commit, or the file's own SHA-256."""

    repository: str
    files: tuple[str, ...]
    revision: str
    sha256: str = ""


def _livecodebench(parts: int) -> Source:
    files = ("test.jsonl", *(f"test{number}.jsonl" for number in range(2, parts + 1)))
    commit = "0fe84c3912ea0c4d4a78037083943e8f0c4dd505"
    return Source(repository="livecodebench/code_generation_lite", files=files, revision=commit)


SOURCES = {
    "humaneval": Source(
        repository="openai/openai_humaneval",
        files=("openai_humaneval/test-00000-of-00001.parquet",),
        revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    ),
    "humaneval+": Source(
        repository="evalplus/humanevalplus",
        files=("test.jsonl",),
        revision="main",
        sha256="908377f1daf28dcb36846db73a5662b2e05a9907407c2696c89ad9d3b0b04492",
    ),
    "mbpp": Source(
        repository="google-research-datasets/mbpp",
        files=("full/test-00000-of-00001.parquet",),
        revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
    ),
    "mbpp+": Source(
        repository="evalplus/mbppplus",
        files=("data/test-00000-of-00001-d5781c9c51e02795.parquet",),
        revision="main",
        sha256="dc20030b3788fccf617444edcb34138ef13d7e4fafd17bfcb8c1279dbb12399b",
    ),
    **{f"livecodebench-v{parts}": _livecodebench(parts) for parts in range(1, 7)},
}

# What may stand before a file, NAME:FILE, and its tasks' domain; LiveCodeBench's is the contest's site.
NAMES = {
    "humaneval": "humaneval",
    "humaneval+": "humaneval",
    "humanevalplus": "humaneval",
    "mbpp": "mbpp",
    "mbpp+": "mbpp",
    "mbppplus": "mbpp",
    "bigcodebench": "bigcodebench",
    "livecodebench": "",
}


@dataclass(frozen=True, kw_only=True)
class Window:
    """Contest dates from `start` to `end`, both included; empty bounds are open. Only LiveCodeBench's rows have dates."""

    start: str = ""
    end: str = ""

    def __post_init__(self) -> None:
        for text in (self.start, self.end):
            try:
                _ = text and date.fromisoformat(text)
            except ValueError:
                raise DataError(f"date window: {text!r} is not a date; write YYYY-MM-DD") from None

    def holds(self, row: dict[str, Any], where: str) -> bool:
        """Whether the row's contest lies in the window.

        Raises:
            DataError: a window was asked for and the row has no date.
        """
        if not (self.start or self.end):
            return True
        day = str(row.get("contest_date"))[:10]
        try:
            date.fromisoformat(day)
        except ValueError:
            raise DataError(f"{where}: has no contest_date, so a window of dates cannot be applied") from None
        return (not self.start or self.start <= day) and (not self.end or day <= self.end)


def stream_tasks(path: Path, window: Window | None = None) -> Iterator[tuple[str, Task]]:
    """Yield (file:line, task) of a task file, or of a benchmark's file as published (.jsonl, .jsonl.gz, .json with a list,
    .parquet), one at a time. Ids are not compared, and there may be none in the window.

    Raises:
        DataError: unreadable or malformed (names file and line).
        DependencyError: a .parquet file, and pyarrow is not installed.
    """
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        if window is None or window.holds(row, where):
            yield where, _task(row, where)


def load_tasks(path: Path) -> list[Task]:
    """All tasks of a file that `stream_tasks` reads.

    Raises:
        DataError: as there; the file is empty, or two tasks share an id.
        DependencyError: as there.
    """
    tasks: dict[str, Task] = {}
    for where, task in stream_tasks(path):
        if task.task_id in tasks:
            raise DataError(f"{where}: task_id {task.task_id!r} appears twice")
        tasks[task.task_id] = task
    if not tasks:
        raise DataError(f"{path}: holds no tasks")
    return list(tasks.values())


def _task(row: dict[str, Any], where: str) -> Task:
    return (recognise(row, where) or task_from_json)(row, where)


def fetch(name: str) -> Iterator[Task]:
    """The tasks of a benchmark on the hub, one at a time: `NAME`, or `NAME:START:END` with dates (YYYY-MM-DD, either may be
    empty).

    Raises:
        DataError: no such benchmark; while streaming: a file is not the pinned one, or no task is in the window.
        DependencyError: while streaming: huggingface_hub is not installed.
        HubUnreachableError: while streaming: the hub did not answer and has no cached copy.
    """
    label, *bounds = name.split(":")
    if label not in SOURCES or len(bounds) not in (0, 2):
        known = ", ".join(SOURCES)
        raise DataError(f"benchmark {name!r}: not a file, and not one of {known} (LiveCodeBench: NAME:START:END)")
    return _fetched(name, SOURCES[label], Window(start=bounds[0], end=bounds[1]) if bounds else None)


def named_file(tasks: str) -> Path | None:
    """The file of `NAME:FILE` (a benchmark's name before a file as it is published); None where it is not of that form.

    Raises:
        DataError: the file's first task is not of that benchmark.
    """
    name, _, file = tasks.partition(":")
    if name not in NAMES or not file.endswith(SUFFIXES) or Path(tasks).exists():
        return None
    for where, task in stream_tasks(Path(file)):
        known = NAMES[name]
        if not task.published or (known and task.domain != known) or (not known and task.domain in NAMES.values()):
            raise DataError(f"{where}: holds a task of {task.domain}, not of {name}; leave {name}: out")
        break
    return Path(file)


def tasks_file(tasks: str, beside: Path) -> Path:
    """The task file, `FILE` or `NAME:FILE`; a benchmark named instead is fetched and written to `beside`.

    Raises:
        DataError, DependencyError, HubUnreachableError: no such benchmark, or it cannot be had.
    """
    if (named := named_file(tasks)) is not None:
        return named
    if Path(tasks).exists() or "/" in tasks or tasks.endswith((".jsonl", ".json", ".gz", ".parquet")):
        return Path(tasks)
    write_jsonl(beside, (task.to_json() for task in fetch(tasks)))
    return beside


def _fetched(name: str, source: Source, window: Window | None) -> Iterator[Task]:
    empty = True
    for file in source.files:  # LiveCodeBench's are in order of time: a window may leave nothing of one of them
        for _, task in stream_tasks(_download(source, file), window):
            empty = False
            yield task
    if empty:
        raise DataError(f"{name}: holds no tasks{' in that window of dates' if window else ''}")


def _download(source: Source, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise DependencyError("benchmarks from the hub need huggingface_hub; pip install huggingface_hub") from error
    hint = "download the file elsewhere and give its path to --tasks"
    try:
        path = Path(hf_hub_download(source.repository, file, repo_type="dataset", revision=source.revision))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HubUnreachableError(f"{source.repository} {file} could not be downloaded ({reason}); {hint}") from error
    if source.sha256 and sha256_file(path) != source.sha256:
        raise DataError(f"{source.repository} {file}: is not the pinned file (SHA-256 {source.sha256[:12]}...); {hint}")
    return path
