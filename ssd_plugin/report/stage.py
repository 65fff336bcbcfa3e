"""Stage `report`: the run as one HTML page and as Markdown."""

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.report.write import write_report


def run(run: RunDir, config: RunConfig) -> StageReport:  # noqa: ARG001 - every stage is called alike
    """Write report/index.html and report/summary.md; no setting changes them.

    Raises:
        RunDirError, ResourceError: a file of the run is missing or corrupt, or no space is left.
    """
    write_report(run.root)
    return StageReport(summary=str(run / layout.REPORT_HTML))
