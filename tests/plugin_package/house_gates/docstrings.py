"""A house rule: generated functions must not lose their docstrings."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from ssd_plugin.gating.gate import Gate, GateContext
from ssd_plugin.gating.paired import compare, conclude
from ssd_plugin.gating.verdict import GateResult
from ssd_plugin.hooks.specs import hookimpl
from ssd_plugin.metrics.program_syntax import parse
from ssd_plugin.tasks.schema import Result


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`margin`: tolerated loss of the share of samples whose functions all have a docstring."""

    margin: float = 0.05


def documented(row: Result) -> bool:
    """Whether the program has functions, and a docstring in each."""
    tree = parse(row.program)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] if tree else []
    return bool(functions) and all(map(ast.get_docstring, functions))


def check(context: GateContext, settings: Settings) -> GateResult:
    """Share of documented samples, paired by task."""
    before, after = (side.rates(documented) for side in (context.baseline, context.candidate))
    figure = compare("documented samples", before, after, margin=settings.margin, alpha=context.alpha)
    return conclude("house_docstrings", [figure])


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """The gates of this module."""
    return [
        Gate(
            name="house_docstrings",
            summary="functions keep their docstrings",
            needs="results",
            settings=Settings,
            check=check,
        )
    ]
