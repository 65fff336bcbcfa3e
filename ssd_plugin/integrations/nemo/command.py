"""`nemo llm finetune` for SSD recipes. NeMo-Run imports this module through the entry point group `nemo_run.cli`.

NeMo-Run knows `--factory`, not `--recipe`, and takes a `RunContext` subclass for a command of one's own: that is the hook
used here. Where nemo-toolkit 2.x has brought `nemo llm finetune`, the command stays its own and learns our recipes;
elsewhere (3.x, or none) the command is this project's. Overrides of an SSD recipe mean what `ssd run --set` means.

No `from __future__ import annotations` here: NeMo-Run evaluates annotations in its own module.
"""

import difflib
import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catalogue
import nemo_run as run
import typer
from nemo_run.cli.api import RunContext
from nemo_run.config import get_type_namespace

from ssd_plugin import recipes
from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.errors import ConfigError, SsdError
from ssd_plugin.integrations.nemo import executors, launch, task

OPTIONS = {
    "recipe": typer.Option(None, "--recipe", help="Recipe to run (the same as --factory)."),
    "executor": typer.Option(
        None, "--executor", help=f"Where to run: {', '.join(executors.FACTORIES)}. [default: here]"
    ),
    "run_dir": typer.Option(None, "--run-dir", help="Where an SSD run lives. [default: runs/RECIPE]"),
    "to_yaml": typer.Option(None, "--to-yaml", help="Export config to YAML file"),
}
RUN_DIR, TO_YAML = "--run-dir=", "--to-yaml="  # how the options travel through NeMo-Run's list of arguments


class SsdRunContext(RunContext):
    """NeMo-Run's context, which also answers to `--recipe`, `--executor` and `--run-dir`, and launches SSD recipes."""

    @classmethod
    def cli_command(cls, parent: typer.Typer, *args: Any, **kwargs: Any) -> Callable[..., None]:
        """NeMo-Run's command with our options in front of its own."""
        command = super().cli_command(parent, *args, **kwargs)
        signature = inspect.signature(command)
        extra = {name: option for name, option in OPTIONS.items() if name not in signature.parameters}

        @functools.wraps(command)
        def with_our_options(*, ctx: typer.Context, **given: Any) -> None:
            ours = {name: given.pop(name) for name in extra}
            if ours["recipe"] and given["factory"] not in (None, ours["recipe"]):
                raise typer.BadParameter("--recipe and --factory name different recipes")
            given["factory"] = ours["recipe"] or given["factory"]
            ctx.args[:0] = [f"run.executor={ours['executor']}"] if ours["executor"] else []
            ctx.args += [f"{RUN_DIR}{ours['run_dir']}"] if ours["run_dir"] else []
            ctx.args += [f"{TO_YAML}{ours['to_yaml']}"] if ours.get("to_yaml") else []
            command(ctx=ctx, **given)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=str | None)
            for name, option in extra.items()
        ]
        with_our_options.__signature__ = signature.replace(parameters=added + parameters)  # type: ignore[attr-defined]
        with_our_options.__annotations__ = command.__annotations__ | dict.fromkeys(extra, str | None)
        parent.registered_commands[-1].callback = with_our_options
        return with_our_options

    def cli_execute(self, fn: Callable[..., Any], args: list[str], *rest: Any, **kwargs: Any) -> None:
        """Run the command; a user's fault is one line and exit status 3, as in `ssd`."""
        try:
            super().cli_execute(fn, args, *rest, **kwargs)
        except SsdError as error:
            typer.echo(f"nemo: {' '.join(str(error).split())}", err=True)
            sys.exit(3)

    def parse_executor(self, name: str, *args: str) -> Any:
        """NeMo-Run's, with the nearest name for one it does not know."""
        try:
            return super().parse_executor(name, *args)
        except ValueError as error:
            if str(error) != f"Executor {name} not found":
                raise
            raise ConfigError(f"no executor {name!r}; {_nearest(name, executors.FACTORIES)}") from None

    def _execute_task(self, fn: Callable[..., Any], task_args: list[str]) -> None:
        options, overrides = _split(task_args)
        self.to_yaml = options.get(TO_YAML) or getattr(self, "to_yaml", None)
        values = task.read_yaml(Path(self.yaml)) if self.yaml else {}
        if not self._is_ours(values):
            self._require_known_factory()
            super()._execute_task(fn, overrides)
            return
        config, directory = self._settings(values, overrides)
        run_dir = options.get(RUN_DIR) or directory or f"runs/{config.recipe}"
        if self.to_yaml:
            task.write_yaml(task.to_partial(config, run_dir), Path(self.to_yaml))
            typer.echo(f"wrote {self.to_yaml}; run it with: nemo llm finetune --yaml {self.to_yaml}")
            return
        launch.launch(self, config, run_dir)

    def _is_ours(self, values: Any) -> bool:
        if self.factory:
            return self.factory in recipes.names() or TOOLKIT_FINETUNE is None
        return task.is_ours(values) if values else TOOLKIT_FINETUNE is None

    def _settings(self, values: Any, overrides: list[str]) -> tuple[RunConfig, str | None]:
        if not self.factory and not values:
            raise ConfigError(f"name a recipe: --recipe NAME; known: {', '.join(recipes.names())}")
        base = recipes.load(self.factory)() if self.factory else None
        config, run_dir = task.from_yaml(values, base)
        return apply_overrides(config, overrides), run_dir

    def _require_known_factory(self) -> None:
        if self.factory and self.factory.isidentifier() and self.factory not in known_recipes():
            raise ConfigError(f"no recipe {self.factory!r}; {_nearest(self.factory, known_recipes())}")


def known_recipes() -> set[str]:
    """The names that `nemo llm finetune --recipe` takes: ours and, where nemo-toolkit 2.x is there, NVIDIA's."""
    return {key[1] for key in catalogue.REGISTRY if key[0] == get_type_namespace(finetune)}


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"


def _split(args: list[str]) -> tuple[dict[str, str], list[str]]:
    """Our own options out of the arguments, and what remains: overrides."""
    options = {mark: arg[len(mark) :] for arg in args for mark in (RUN_DIR, TO_YAML) if arg.startswith(mark)}
    return options, [arg for arg in args if not arg.startswith((RUN_DIR, TO_YAML))]


try:
    from nemo.collections.llm import finetune as _toolkit_finetune
except ImportError:
    TOOLKIT_FINETUNE = None
    finetune = run.cli.entrypoint(namespace="llm", name="finetune", run_ctx_cls=SsdRunContext)(task.ssd_finetune)
else:
    TOOLKIT_FINETUNE = finetune = _toolkit_finetune
    finetune.cli_entrypoint.run_ctx_cls = SsdRunContext


def _register(name: str) -> None:
    recipe = recipes.load(name)

    def factory() -> run.Partial:
        return task.to_partial(recipe(), f"runs/{name}")

    factory.__doc__ = recipe.__doc__
    run.cli.factory(target=finetune, name=name)(factory)


for _name in recipes.names():
    _register(_name)
