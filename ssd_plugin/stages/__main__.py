"""`python -m ssd_plugin.stages NAME RUN_DIR PARENT_PID`: one stage in a process of its own; reports through a file of the run."""

import importlib
import resource
import sys
from pathlib import Path
from typing import Any

from ssd_plugin.errors import ResourceError, SsdError
from ssd_plugin.jsonl import write_json
from ssd_plugin.parent import die_with
from ssd_plugin.rundir import STAGE_REPORT, RunDir
from ssd_plugin.settings import config_from_json
from ssd_plugin.spent import account


def main(name: str, directory: str) -> int:
    """Run the stage; 0 and its report, or 3 and its error, in the run directory."""
    run = RunDir(Path(directory))
    answer: dict[str, Any]
    try:
        stage = importlib.import_module(f"ssd_plugin.stages.{name}")
        report = stage.run(run, config_from_json(run.read_config()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"summary": report.summary, "facts": report.facts, "peak_memory_mib": round(peak), "spent": account()}
    except MemoryError:
        answer = {
            "error": ResourceError.__name__,
            "message": f"out of memory in the stage {name}; lower engine.max_rows",
        }
    except SsdError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    write_json(run / STAGE_REPORT, answer)
    return 3 if "error" in answer else 0


if __name__ == "__main__":
    die_with(int(sys.argv[3]))
    try:
        sys.exit(main(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
