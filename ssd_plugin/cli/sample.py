"""`ssd sample`: a run directory's line up to the stage `filter`."""

from ssd_plugin.cli.options import pipeline_command

command = pipeline_command("sample", until="filter", about="The pipeline up to the filtered samples")
