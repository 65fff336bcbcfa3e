"""Where a run's time went, from its manifest: `python benchmarks/overhead.py RUN_DIR`, for instance runs/demo after `make demo`.

Each stage accounts for its own wall-clock time (`ssd_plugin/core/stage_timing.py`). Model compute is what the engine and the
trainer take, candidate programs what grading takes; loading weights, checkpoints, the gates and all else (interpreters, imports,
digests, files) are overhead. Writes `benchmarks/results/overhead.md` and `.json`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import facts, write

from ssd_plugin.core.stage_timing import KINDS
from ssd_plugin.report.document import build_document


def row(name: str, seconds: float, spent: dict[str, float]) -> list[str]:
    """One line of the table: seconds in all, by kind, and what is left."""
    return [name, *(f"{value:.1f}" for value in (seconds, *spent.values(), seconds - sum(spent.values())))]


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    run_dir: Path = parser.parse_args().run_dir
    document = build_document(run_dir)
    share: float | None = document["overhead"]
    if share is None:
        sys.exit(f"{run_dir}: no stage accounted for its time; is it a finished run of this version?")
    stages: list[dict[str, Any]] = document["stages"]
    total = sum(stage["seconds"] for stage in stages)
    sums = {str(kind): sum(stage["spent"][kind] for stage in stages) for kind in KINDS}
    rows = [row(stage["name"], stage["seconds"], stage["spent"]) for stage in stages]
    note = (
        f"`python benchmarks/overhead.py` on a run of {document['run']['recipe']}: {total:.0f} s, of which {share:.1%} outside "
        "model compute and candidate programs. Wall-clock seconds."
    )
    header = ["stage", "seconds", *KINDS, "the rest"]
    raw = {"overhead": share, "stages": stages}
    write("overhead", "Where the time of a run goes", facts("torch", "transformers"), note, header,
          [*rows, row("all", total, sums)], raw)  # fmt: skip


if __name__ == "__main__":
    main()
