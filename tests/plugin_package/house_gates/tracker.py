"""A tracker of the house: one JSON file a run, where HOUSE_TRACKER names it. HOUSE_TRACKER_FAILS makes it misbehave."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ssd_plugin.errors import ConfigError
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.integrations.tracking.tracker import TrackedRun, Tracker


def check() -> None:
    if "HOUSE_TRACKER" not in os.environ:
        raise ConfigError("the house tracker needs HOUSE_TRACKER: the file to write")


def misbehave(how: str) -> None:
    if how == "raise":
        raise RuntimeError("the house server\nsaid no")
    if how == "exit":
        os._exit(0)
    if how == "hang":
        time.sleep(3600)


def send(run: TrackedRun) -> str:
    print("this must not mix with the command's own output")
    misbehave(os.environ.get("HOUSE_TRACKER_FAILS", ""))
    target = Path(os.environ["HOUSE_TRACKER"])
    rows = target.read_text().splitlines() if target.exists() else []
    told = {
        "name": run.name,
        "verdict": run.tags["verdict"],
        "figures": run.figures,
        "losses": run.curves["train/loss"],
    }
    target.write_text("\n".join([*rows, json.dumps(told)]) + "\n")
    return str(target)


@hookimpl
def ssd_trackers() -> Sequence[Tracker]:
    return [Tracker(name="house", check=check, send=send)]
