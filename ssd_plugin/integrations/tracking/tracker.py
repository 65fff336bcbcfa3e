"""What a tracker is, and all that it gets. Third-party trackers build on this file alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A finished run. Names are of letters, digits, `_`, `-`, `.` and `/`; every figure is finite.

    `curves` hold (optimizer step, value) in rising step; `tags` the verdict, its reason and each gate's status; `summary` is
    the report's Markdown, `files` the report and the verdict; `folder` is the tracker's own, in the run directory.
    """

    name: str
    settings: Mapping[str, str | int | float | bool]
    tags: Mapping[str, str]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    figures: Mapping[str, float]
    summary: str
    files: Sequence[Path]
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """A tracker: `check` is called before anything is spent and raises DependencyError or ConfigError; `send` is called once a
    run is finished, in a process of its own, and says where the run can be seen."""

    name: str
    check: Callable[[], None]
    send: Callable[[TrackedRun], str]
