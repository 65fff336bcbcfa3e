"""`ssd evaluate`: a run directory's line up to the stage `evaluate`."""

from ssd_plugin.cli.options import pipeline_command

command = pipeline_command("evaluate", until="evaluate", about="The pipeline up to the held-out scores")
