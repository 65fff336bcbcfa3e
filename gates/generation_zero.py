"""pass@1 against the first model of the chain: drift that no single step shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_plugin.gating.gate import Gate, GateContext, Margin
from ssd_plugin.gating.paired import compare, conclude
from ssd_plugin.gating.verdict import GateResult
from ssd_plugin.hooks.specs import hookimpl


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`margin`: the largest loss of pass@1 that all generations together may add up to."""

    margin: Margin = 0.05


def check(context: GateContext, settings: Settings) -> GateResult:
    """Non-inferiority to generation 0; without an origin the baseline is generation 0, and the result says so."""
    origin = context.origin or context.baseline
    name = "pass@1 since generation 0"
    figure = compare(
        name, origin.pass_rates(), context.candidate.pass_rates(), margin=settings.margin, alpha=context.alpha
    )
    note = "" if context.origin else "no origin was named: the baseline is generation 0"
    return conclude("generation_zero", [figure], note=note)


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "pass@1 not below generation 0's by the cumulative margin"
    return [
        Gate(
            name="generation_zero",
            summary=summary,
            needs="results",
            settings=Settings,
            check=check,
            power_margin="margin",
        )
    ]
