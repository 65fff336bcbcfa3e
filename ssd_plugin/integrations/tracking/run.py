"""A run and all that follows it: rounds, the report, and the experiment trackers."""

from pathlib import Path

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.integrations.tracking.send import check_trackers, send
from ssd_plugin.pipeline.rounds import run_rounds


def run_and_track(config: RunConfig, run_dir: Path) -> tuple[int, list[Path]]:
    """Run, or continue, the pipeline in `run_dir`: the exit status of its last round's verdict, and the run directories of all
    rounds. What is finished goes to the trackers that the settings name; a tracker that fails then changes nothing.

    Raises:
        DependencyError, PluginError: a tracker cannot work here; nothing was begun.
        SsdError: what a stage met; everything that was finished is kept.
    """
    from ssd_plugin.report.write import write_report  # loads the templates' engine, which a run needs only at its end

    names = config.report.trackers
    trackers = check_trackers(names)
    status, folders = run_rounds(config, run_dir, write_report)
    for folder in folders:
        send(names, trackers, folder, folder.resolve().relative_to(run_dir.resolve().parent).as_posix())
    return status, folders
