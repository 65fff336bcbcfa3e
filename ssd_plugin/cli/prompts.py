"""`ssd prompts`: a run directory's line up to the stage `prompts`, which needs the network and no GPU."""

from ssd_plugin.cli.options import pipeline_command

command = pipeline_command("prompts", until="prompts", about="The base model and the prompts")
