"""Send one run to one tracker; answers in JSON.

`python -m ssd_plugin.integrations.tracking NAMES TRACKER RUN_DIR RUN_NAME PARENT_PID`
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json, sha256_json, write_json
from ssd_plugin.core.parent_process import die_with
from ssd_plugin.integrations.tracking.discovery import load_trackers
from ssd_plugin.integrations.tracking.figures import tracked_run


def main(names: str, tracker: str, run_dir: Path, run_name: str) -> str:
    """Send the run unless the same was sent before; returns a line that says where it is."""
    run = tracked_run(run_dir, run_name, tracker)
    told = {key: value for key, value in asdict(run).items() if key not in ("name", "files", "folder")}
    digest, record = sha256_json(told), run_dir / layout.tracker_record(tracker)
    if record.exists() and (known := read_json(record))["sent"] == digest:
        return f"unchanged: {known['where']}"
    run.folder.mkdir(parents=True, exist_ok=True)
    where = load_trackers(names.split(","))[tracker].send(run)
    write_json(record, {"sent": digest, "where": where})
    return f"sent: {where}"


if __name__ == "__main__":
    die_with(int(sys.argv[5]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a tracker's library prints must not mix with the answer
    try:
        answer = {"where": main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])}
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a tracker raises is its failure
        answer = {"failure": f"{type(error).__name__}: {error}"}
    json.dump(answer, answers)
    answers.close()
