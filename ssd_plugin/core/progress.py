"""What a person watches: a bar on a terminal, plain lines now and then elsewhere; both on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_INTERVAL = 15.0  # seconds between lines where there is no terminal


class Advance(Protocol):
    """Says that `steps` more are done; `note` is a short text shown beside the bar."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


@contextmanager
def track(label: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show progress of `total` items, `done` of them already there."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")

            def advance_bar(steps: int = 1, note: str = "") -> None:
                bar.update(task, advance=steps, note=note)

            yield advance_bar
        return

    last = time.monotonic()

    def advance_plain(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += steps
        if time.monotonic() - last >= PLAIN_INTERVAL:
            last = time.monotonic()
            print(f"{label}: {done}/{total}{f' ({note})' if note else ''}", file=sys.stderr, flush=True)

    yield advance_plain
