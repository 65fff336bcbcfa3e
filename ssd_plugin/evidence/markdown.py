"""The Markdown summary for a CI step's page: outcome, gates, figures, findings, what was judged."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ssd_plugin.core.text import markdown
from ssd_plugin.gating.verdict import JudgedGate, Looks, Verdict, in_short
from ssd_plugin.trust.evidence_files import PICTURE, SARIF

_MAX_FINDING_ROWS = 20


def summary(verdict: Verdict, left_out: int, signed: bool) -> str:
    """The page. `left_out`: findings that did not fit into the SARIF file; `signed`: whether an envelope lies beside."""
    policy = f"{markdown(verdict.policy.name)}, {verdict.policy.sha256[:12]}"
    lines = [
        f"# {verdict.outcome}",
        "",
        markdown(in_short(verdict), 2000),
        "",
        f"![{verdict.outcome}: every gate with its interval and margin]({PICTURE})",
        "",
        f"Policy {policy}; {_grading(verdict)}; {_looks(verdict.looks)}; "
        f"made {markdown(verdict.created)}, valid until {markdown(verdict.expires)}; "
        f"{'signed' if signed else '**not signed: cannot promote a model**'}.",
        "",
        *_table(("gate", "tier", "result", "override", "why"), map(_gate_row, verdict.gates)),
        *_figures(verdict),
        *_findings(verdict, left_out),
        *_subjects(verdict),
    ]
    return "\n".join(lines) + "\n"


def _grading(verdict: Verdict) -> str:
    return f"sandbox {markdown(verdict.sandbox)}" if verdict.sandbox else "no samples graded here"


def _looks(looks: Looks) -> str:
    return f"look {looks.look} of {looks.allowed}, {looks.reruns} reruns" if looks.look else "no look was spent"


def _gate_row(gate: JudgedGate) -> tuple[str, ...]:
    override = f"{markdown(gate.override.reason)} (until {gate.override.expires})" if gate.override else ""
    result = gate.result
    return markdown(result.gate, 80), gate.tier.value, result.status.value, override, markdown(result.reason, 2000)


def _figures(verdict: Verdict) -> list[str]:
    rows = [
        (
            markdown(gate.result.gate, 80),
            markdown(figure.name, 80),
            markdown(figure.unit, 40),
            *map(_number, (figure.baseline, figure.candidate, figure.delta, figure.low, figure.high, figure.margin)),
            str(figure.tasks),
            figure.status.value,
        )
        for gate in verdict.gates
        for figure in gate.result.measurements
    ]
    heads = ("gate", "figure", "unit", "baseline", "candidate", "delta", "low", "high", "margin", "tasks", "result")
    return ["", "## Figures", "", *_table(heads, rows)] if rows else []


def _findings(verdict: Verdict, left_out: int) -> list[str]:
    counts = Counter((f.side, f.tool, f.rule, f.level) for gate in verdict.gates for f in gate.result.findings)
    if not counts:
        return []
    rows = [(*(markdown(part, 80) for part in key), str(n)) for key, n in counts.most_common(_MAX_FINDING_ROWS)]
    lines = ["", "## Findings", "", *_table(("side", "tool", "rule", "level", "count"), rows)]
    if len(counts) > _MAX_FINDING_ROWS:
        lines += ["", f"{len(counts) - _MAX_FINDING_ROWS} rarer kinds are in {SARIF}."]
    if left_out:
        lines += ["", f"{left_out} findings of the lowest levels did not fit into {SARIF}."]
    return lines


def _subjects(verdict: Verdict) -> list[str]:
    rows = [(markdown(s.role), markdown(s.path), s.sha256[:16], str(s.size)) for s in verdict.subjects]
    heads = ("role", "file", "SHA-256 (start)", "bytes")
    return (
        ["", "<details><summary>What was judged</summary>", "", *_table(heads, rows), "", "</details>"] if rows else []
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
