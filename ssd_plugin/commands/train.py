"""`ssd train`: a run directory's line up to the stage `train`."""

from ssd_plugin.commands.options import line_command

command = line_command("train", until="train", about="The line up to the fine-tuned model")
