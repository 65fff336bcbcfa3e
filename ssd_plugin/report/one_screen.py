"""A verdict on one screen of 24 lines and 80 columns: the outcome, the gates that decided it with their figures, the others by
name. Names and reasons may quote model output: they are plain text, and cut by the cells they take.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from ssd_plugin.core.text import visible
from ssd_plugin.gating.highlights import deciding, key_figure
from ssd_plugin.gating.paired import figure_text
from ssd_plugin.gating.verdict import GateStatus, JudgedGate, Outcome, PowerRow, Verdict

STATUS_STYLES = {GateStatus.PASS: "green", GateStatus.BREACH: "bold red", GateStatus.INSUFFICIENT: "yellow"}
OUTCOME_STYLES = {Outcome.GO: "bold green", Outcome.NO_GO: "bold red", Outcome.INCONCLUSIVE: "bold yellow"}
GATES_SHOWN = 3
_ENOUGH_POWER = 0.8
_ERROR_CELLS = 400
_GRAVEST_FIRST = (GateStatus.ERROR, GateStatus.MISSING, GateStatus.BREACH, GateStatus.INSUFFICIENT, GateStatus.PASS)
_WORDS = {Outcome.NO_GO: "breached", Outcome.INCONCLUSIVE: "could not tell"}


def fold(text: Text, console: Console, most: int, indent: int = 0) -> list[Text]:
    """The text in at most `most` lines of the console's width, the last one ending in "..." where there was more."""
    width = max(console.width - indent, 8)
    lines = list(text.wrap(console, width))
    if len(lines) > most:
        lines = lines[:most]
        lines[-1].truncate(width - 4)
        lines[-1].rstrip()
        lines[-1].append(" ...")
    for line in lines:
        line.pad_left(indent)
    return lines


def print_lines(console: Console, lines: Sequence[Text]) -> None:
    """Lines that were folded already."""
    for line in lines:
        console.print(line, no_wrap=True, crop=False)


def power_lines(rows: Sequence[PowerRow], console: Console) -> list[Text]:
    """What each test of pass@1 can see on this baseline, in two lines."""

    def text(row: PowerRow) -> str:
        more = f" (0.8 needs {row.tasks_needed} tasks)" if row.power < _ENOUGH_POWER and row.tasks_needed else ""
        return f"{visible(row.gate)} {row.power:.2f}{more}"

    said = ", ".join(map(text, rows))
    return fold(Text(f"Chance that an equal model passes: {said}"), console, 2) if rows else []


def error_line(verdict: Verdict) -> str:
    """Why there is no judgement, in one line for stderr; `summary.md` has the whole of it."""
    line = Text(f"ssd: ERROR by policy {visible(verdict.policy.name, 80)}: {visible(verdict.reason)}")
    line.truncate(_ERROR_CELLS, overflow="ellipsis")
    return line.plain


def verdict_lines(verdict: Verdict, console: Console, shown: int = GATES_SHOWN) -> list[Text]:
    """The outcome (an ERROR's is `error_line`), the first `shown` of the gates that decided it, and the others by status."""
    lines: list[Text] = []
    decided = [] if verdict.outcome is Outcome.ERROR else deciding(verdict)
    if verdict.outcome is not Outcome.ERROR:
        lines += fold(_headline(verdict, len(decided)), console, 2)
    for gate in decided[:shown]:
        lines += _gate_lines(gate, console)
    rest = [gate for gate in verdict.gates if gate not in decided[:shown]]
    told = {gate.result.status for gate in decided[:shown]}
    for status in _GRAVEST_FIRST:
        if named := [gate for gate in rest if gate.result.status is status]:
            lines += _others(named, console, more=status in told)
    return lines


def _headline(verdict: Verdict, decided: int) -> Text:
    why = visible(verdict.reason)
    if verdict.outcome in _WORDS:
        why = f"{decided} of {len(verdict.gates)} gates {_WORDS[verdict.outcome]}"
    said = f" by policy {visible(verdict.policy.name, 80)}: {why}"
    return Text.assemble((verdict.outcome.value, OUTCOME_STYLES[verdict.outcome]), said)


def status_text(gate: JudgedGate) -> Text:
    """The gate's status in its colour."""
    status = gate.result.status
    return Text(status.value, style=STATUS_STYLES.get(status, "bold magenta"))


def _gate_lines(gate: JudgedGate, console: Console) -> list[Text]:
    head = Text.assemble(
        (visible(gate.result.gate, 40), "bold"),
        f" ({gate.tier}) ",
        status_text(gate),
        " (overridden)" * bool(gate.override),
    )
    return [*fold(head, console, 1, indent=2), *fold(Text(_told(gate)), console, 2, indent=4)]


def _told(gate: JudgedGate) -> str:
    """The key figure where the gate could tell; else the reason, which says what it lacks."""
    figure, result = key_figure(gate), gate.result
    if figure is None or result.status not in (GateStatus.PASS, GateStatus.BREACH):
        return visible(result.reason)
    others = sum(one.status is result.status for one in result.measurements) - 1
    more = f"; and {others} more figure{'s' * (others > 1)}" if others else ""
    return visible(figure_text(figure)) + more


def _others(gates: Sequence[JudgedGate], console: Console, *, more: bool) -> list[Text]:
    """Gates of one status by name, in one line; `more`: some of that status stand above."""
    names = ", ".join(visible(gate.result.gate, 40) + " (overridden)" * bool(gate.override) for gate in gates)
    return fold(Text.assemble(f"  {len(gates)} {'more ' * more}", status_text(gates[0]), f": {names}"), console, 1)
