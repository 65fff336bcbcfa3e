"""What `--tasks` means, the same for every command that grades."""

from pathlib import Path

TASKS_HELP = "Task file, a benchmark's file as published, or its name (humaneval+, ...)."


def tasks_file(tasks: str, beside: Path) -> Path:
    """The task file; a benchmark named instead is fetched and written to `beside`.

    Raises:
        DataError, DependencyError, HubUnreachableError: no such benchmark, or it cannot be had.
    """
    from ssd_plugin.data.benchmarks import fetch
    from ssd_plugin.jsonl import write_jsonl

    if Path(tasks).exists() or "/" in tasks or tasks.endswith((".jsonl", ".json", ".gz", ".parquet")):
        return Path(tasks)
    write_jsonl(beside, (task.to_json() for task in fetch(tasks)))
    return beside
