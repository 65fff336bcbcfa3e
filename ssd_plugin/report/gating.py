"""Verdicts, power and gates as tables for an 80-column terminal. Gate texts may quote model output: shown as plain text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssd_plugin.core.text import visible
from ssd_plugin.gating.calibration import Calibration
from ssd_plugin.gating.discovery import LoadedGate
from ssd_plugin.gating.verdict import JudgedGate, Outcome, PowerRow, Verdict
from ssd_plugin.report import one_screen


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("gate", "tier", "status"))
    return table


def print_power(rows: Sequence[PowerRow], *, verbose: bool = True) -> None:
    """What the policy can see on this baseline, before the candidate is judged: a table, or two lines."""
    console = Console()
    if not rows:
        return
    if not verbose:
        one_screen.print_lines(console, [*one_screen.power_lines(rows, console), Text()])
        return
    table = _table("gate", "tasks", "margin", "P(pass|equal)", "tasks for 0.8", "margin for 0.8")
    for row in rows:
        size = f"{row.tasks} x {row.samples}"
        table.add_row(
            visible(row.gate),
            size,
            f"{row.margin:g}",
            f"{row.power:.2f}",
            str(row.tasks_needed or "none"),
            f"{row.detectable:.3f}",
        )
    console.print("Power on this baseline, before the candidate is looked at:")
    console.print(table)
    console.print()


def _row(gate: JudgedGate) -> tuple[Text | str, ...]:
    reason = visible(gate.result.reason) + (" (overridden)" if gate.override else "")
    return Text(visible(gate.result.gate)), gate.tier.value, one_screen.status_text(gate), Text(reason)


def gates_table(verdict: Verdict) -> Table:
    """What each gate found."""
    table = _table("gate", "tier", "status", "what it found")
    for gate in verdict.gates:
        table.add_row(*_row(gate))
    return table


def print_judgement(verdict: Verdict, console: Console, *, verbose: bool, shown: int = one_screen.GATES_SHOWN) -> None:
    """The outcome and what decided it, as one screen takes it; `verbose`: first every gate with its whole reason."""
    if verbose and verdict.gates:
        console.print(gates_table(verdict))
        console.print()
    if verdict.outcome is Outcome.ERROR:
        click.echo(one_screen.error_line(verdict), err=True)
    one_screen.print_lines(console, one_screen.verdict_lines(verdict, console, shown))


def print_verdict(verdict: Verdict, out: Path, *, verbose: bool = False) -> None:
    """The judgement, the looks and where the evidence lies."""
    console = Console()
    print_judgement(verdict, console, verbose=verbose)
    console.print()
    looks = verdict.looks
    if not looks.look:
        console.print("no look was spent")
    else:
        again = f", rerun {looks.reruns} times" if looks.reruns else ""
        console.print(
            f"look {looks.look} of {looks.allowed}{again}, each at alpha {looks.alpha:g}; "
            f"{f'sandbox {verdict.sandbox}' if verdict.sandbox else 'no samples graded here'}"
        )
    if verdict.outcome is Outcome.GO and not verdict.promotable:
        console.print("this policy's GO cannot promote a model")
    console.print(Text(f"evidence: {visible(str(out))} (every gate: summary.md there, or --verbose)"), soft_wrap=True)


def print_gates(gates: Mapping[str, LoadedGate]) -> None:
    """All gates with what each needs."""
    table = _table("gate", "what it judges", "needs", "from")
    for name, found in gates.items():
        table.add_row(name, found.gate.summary, found.gate.needs, f"{found.plugin.distribution} {found.plugin.version}")
    Console().print(table)


_QUESTIONS = {
    "halves": "equal model, disjoint halves",
    "redrawn": "equal model, redrawn",
    "margin_loss": "worse by exactly the margin",
    "lost_tasks": "worse by the margin, tasks lost whole",
    "double_loss": "worse by twice the margin",
}


def print_calibration(found: Calibration) -> None:
    """The policy's rates, then outcomes by experiment, then each gate's part in them."""
    print_power(found.pass_rate_power)
    console = Console()
    of = f"{found.replicates} replicates of {found.tasks} tasks x {found.samples} samples; intervals: 95 %"
    console.print(Text(f"Policy {visible(found.policy)} on this baseline, all its gates together ({of}):"))
    for label, rate in (
        ("false-block rate: an equal model does not get GO", found.false_block),
        (f"false-pass rate: worse by the margin gets GO (nominal: at most {found.alpha:g} a look)", found.false_pass),
        ("power: worse by twice the margin gets NO-GO", found.power),
    ):
        if rate is not None:
            console.print(Text(f"  {rate.estimate:.2f} [{rate.low:.2f}, {rate.high:.2f}]  {label}"))
    console.print()
    table = _table("experiment", "samples", *Outcome)
    for one in found.experiments:
        shares = (f"{one.outcomes.get(outcome.value, 0):.2f}" for outcome in Outcome)
        table.add_row(_QUESTIONS[one.name], str(one.samples), *shares)
    console.print("Share of verdicts:")
    console.print(table)
    console.print()
    gates = _table("gate", *(one.name for one in found.experiments), "blocks alone")
    redrawn = next(one for one in found.experiments if one.name == "redrawn")
    for name in redrawn.gates:
        passes = (f"{one.gates[name].get('pass', 0):.2f}" for one in found.experiments)
        gates.add_row(name, *passes, f"{redrawn.alone.get(name, 0):.2f}")
    console.print(
        "Share of replicates in which each gate passes, and in which it alone blocks an equal model (redrawn):"
    )
    console.print(gates)
    if found.too_few:
        console.print(Text(found.too_few, style="bold yellow"))
    if found.left_out:
        console.print(f"not tried by resampling: {', '.join(found.left_out)}, and figures of the weights")
