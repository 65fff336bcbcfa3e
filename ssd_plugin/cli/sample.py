"""`ssd sample`: a run directory's line up to the stage `filter`."""

from ssd_plugin.cli.options import line_command

command = line_command("sample", until="filter", about="The line up to the filtered samples")
