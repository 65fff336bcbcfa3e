"""`ssd evaluate`: a run directory's line up to the stage `evaluate`."""

from ssd_plugin.cli.options import line_command

command = line_command("evaluate", until="evaluate", about="The line up to the held-out scores")
