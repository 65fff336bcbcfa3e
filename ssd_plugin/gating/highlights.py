"""What of a verdict a reader should see first: the gates that decided it, and of each the figure that tells most."""

import math

from ssd_plugin.gating.verdict import JudgedGate, Measurement, Outcome, Tier, Verdict, weigh

_TIERS = tuple(Tier)


def room(figure: Measurement) -> float:
    """How much of the margin the figure's interval leaves: 1 where it ends at no change, 0 at the margin, negative beyond.
    Infinite for a figure without an interval or a margin, which comes after all that can be compared.
    """
    if figure.low is None or figure.high is None or not figure.margin:
        return math.inf
    loss = figure.high if figure.less_is_better else -figure.low
    return 1 - loss / figure.margin


def key_figure(gate: JudgedGate) -> Measurement | None:
    """The figure with an interval, of those with the gate's own status, that leaves the least room; None if there is none."""
    result = gate.result
    figures = [f for f in result.measurements if f.status is result.status and None not in (f.delta, f.low, f.high)]
    return min(figures, key=room, default=None)


def deciding(verdict: Verdict) -> list[JudgedGate]:
    """The gates that made the verdict what it is, the gravest first: critical before supporting; those that say so without a
    figure, such as too few tasks or a file that does not belong there; then by the room that is left. A GO was made by all
    critical gates: those nearest to their margins come first.
    """
    gates = [gate for gate in verdict.gates if weigh(gate, verdict.judged_on) is verdict.outcome]
    without_figure = -math.inf
    if verdict.outcome is Outcome.GO:
        gates = [gate for gate in gates if gate.tier is Tier.CRITICAL and not gate.override]
        without_figure = math.inf

    def order(gate: JudgedGate) -> tuple[int, float]:
        figure = key_figure(gate)
        return _TIERS.index(gate.tier), without_figure if figure is None else room(figure)

    return sorted(gates, key=order)
