"""`ssd`: a thin face; each command is a module of its own beside this one, imported only when it is called."""

import importlib
import sys
import traceback
from typing import Any

import click

from ssd_plugin import __version__
from ssd_plugin.core.text import visible
from ssd_plugin.errors import SsdError

COMMANDS = {
    "run": "The whole pipeline: sample, train, evaluate, gate; continues a run directory.",
    "prompts": "The base model and the prompts: needs the network, no GPU.",
    "sample": "The pipeline up to the filtered samples.",
    "train": "The pipeline up to the fine-tuned model.",
    "evaluate": "The pipeline up to the held-out scores.",
    "report": "Write the HTML and Markdown report of a run.",
    "generate": "Tasks and a model, here or behind a server, to a samples file.",
    "score": "Grade generated programs in the sandbox.",
    "gate": "Judge a candidate; exit 0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 ERROR.",
    "calibrate": "How often a policy blocks an honest model, and what it can see.",
    "verify": "Check a verdict's signature and digests, offline.",
    "promote": "Move a model to its registry alias, on a valid GO only.",
    "keys": "Make signing keys.",
    "analyze": "Forks and locks: what the fine-tune changed, token by token.",
    "curve": "pass@k over decode temperatures: base, SSD and control, with intervals.",
    "sweep": "T_train x T_eval x truncation on the development split.",
    "simulate": "The paper's toy of the precision-exploration conflict.",
    "plan": "Stages, GPUs, tokens, hours and job scripts, without running.",
    "recipes": "List and show recipes.",
    "gates": "List the gates and what each needs.",
    "doctor": "What this machine can run, and how to get the rest.",
}


class LazyGroup(click.Group):
    """Knows its commands by name and loads a module only to run it, so that `ssd --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's module, imported now; None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ssd_plugin.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from `COMMANDS`, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ssd")
def cli() -> None:
    """Simple Self-Distillation: train a code model on its own samples; promote it only with signed proof.

    Example: ssd run ssd_smollm2_135m
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a user's or the environment's fault is one line on stderr and exit status 3."""
    try:
        status = cli.main(args=arguments, prog_name="ssd", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else str(error))
        status = 3
    except click.ClickException as error:
        hint = f" (see: {error.ctx.command_path} --help)" if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"ssd: {visible(error.format_message())}{hint}", err=True)
        status = 3
    except SsdError as error:
        click.echo(f"ssd: {visible(' '.join(str(error).split()))}", err=True)
        status = 3
    except OSError as error:  # such as a path without permission, which no command foresaw
        click.echo(f"ssd: {visible(' '.join(str(error).split()))}", err=True)
        status = 3
    except (click.Abort, KeyboardInterrupt):
        click.echo("ssd: interrupted; run the same command again to continue", err=True)
        status = 130
    except Exception:  # noqa: BLE001 - the boundary: Python's own exit status for a defect, 1, would say NO-GO
        for line in traceback.format_exc().splitlines():
            click.echo(f"| {visible(line)}", err=True)
        click.echo("ssd: a defect of ssd itself, please report it with the lines above", err=True)
        status = 3
    sys.exit(status if isinstance(status, int) else 0)
