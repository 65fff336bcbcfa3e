"""Sends a finished run to its trackers. The verdict stands by then: whatever a tracker does is a line on stderr.

Each tracker runs in a process of its own (`python -m ssd_plugin.integrations.tracking`): it may hang or crash.
`tracking/NAME.json` in the run directory keeps what was sent, so that a run that is continued unchanged is not sent again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ssd_plugin.integrations.tracking.discovery import load_trackers

PATIENCE = 600  # seconds for one tracker


def check_trackers(names: Sequence[str]) -> list[str]:
    """Load the trackers that the settings name and ask each whether it can work; returns their names.

    Raises:
        PluginError: one is unknown or not as the hook asks.
        DependencyError, ConfigError: one cannot work here.
    """
    if not names:
        return []
    trackers = load_trackers(names)
    for tracker in trackers.values():
        tracker.check()
    return list(trackers)


def send(names: Sequence[str], trackers: Iterable[str], run_dir: Path, run_name: str) -> None:
    """Send one run to each of `trackers` (loaded by `names`), and say in a line where to or, on stderr, why not."""
    for tracker in trackers:
        where, failure = _apart(names, tracker, run_dir, run_name)
        if failure:
            text = f"ssd: tracker {tracker}: {failure}; the verdict stands, and the same command sends the run again"
            print(" ".join(text.split()), file=sys.stderr, flush=True)
        else:
            print(f"{tracker:9} {where}", flush=True)


def _apart(names: Sequence[str], tracker: str, run_dir: Path, run_name: str) -> tuple[str, str]:
    """Where the run went, or how the sending failed."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "ssd_plugin.integrations.tracking",
        ",".join(names),
        tracker,
        str(run_dir),
        run_name,
    ]
    command.append(str(os.getpid()))
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE, check=False
        )
        answer = json.loads(done.stdout)
        return answer.get("where", ""), answer.get("failure", "")
    except subprocess.TimeoutExpired:
        return "", f"stopped after {PATIENCE} s"
    except ValueError:
        return "", f"its process died (exit status {done.returncode})"
