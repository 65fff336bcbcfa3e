"""The end of a run on one screen: what was gained, the verdict, where the report lies, what to do next."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssd_plugin.config.schema import DecodeConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.text import visible
from ssd_plugin.gating.verdict import Outcome, read_verdict
from ssd_plugin.metrics.evaluation import Estimate, Evaluation, read_evaluation
from ssd_plugin.report.gating import print_judgement

NEXT = {
    Outcome.GO: "sign and promote: ssd gate ... --sign KEY (docs/promotion.md)",
    Outcome.NO_GO: "try other settings: ssd run RECIPE --set sampling.temperature=...",
    Outcome.INCONCLUSIVE: "where an interval is too wide: --set evaluate.samples_per_task=...",
    Outcome.ERROR: "mend what the reason names, then run the same command again",
}
_GATES_SHOWN = 2  # beside the table of figures, on one screen


def _interval(figure: Estimate, signed: bool = False) -> str:
    sign = "+" if signed else ""
    text = f"{figure.estimate:{sign}.3f}"
    return text if figure.low is None else f"{text} [{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]"


def _decode(decode: DecodeConfig) -> str:
    extras = f" k={decode.top_k}" * bool(decode.top_k) + f" p={decode.top_p:g}" * (decode.top_p < 1)
    return f"T={decode.temperature:g}{extras}"


def sides_table(evaluation: Evaluation) -> Table:
    """One row per side: its decoding config, pass@1 and pass@5 with 95 % intervals over tasks."""
    columns = [k for k in (1, 5) if k in evaluation.sides["base"].pass_at]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    size = f"{evaluation.tasks} tasks x {evaluation.samples_per_task} samples"
    for heading in (size, "decode", *(f"pass@{k} [95 %]" for k in columns)):
        table.add_column(heading, overflow="fold", no_wrap=heading != size)
    for side in evaluation.sides.values():
        table.add_row(Text(visible(side.label)), _decode(side.decode), *(_interval(side.pass_at[k]) for k in columns))
    return table


def domains_table(evaluation: Evaluation) -> Table:
    """pass@1 by domain, and the candidate against the base at its best decode with intervals that hold all together."""
    candidate = visible(evaluation.sides["candidate"].label)
    table = Table(title="pass@1 by domain")
    for heading in ("domain", "tasks", "base", "best", candidate, f"{candidate} - best"):
        table.add_column(Text(heading), justify="left" if heading == "domain" else "right")
    for domain, delta in evaluation.deltas["candidate-base_best"].by_domain.items():
        rows = [side.by_domain[domain] for side in evaluation.sides.values()]
        rates = (f"{row.pass_at_1.estimate:.3f}" for row in rows)
        table.add_row(Text(visible(domain)), str(rows[0].tasks), *rates, _interval(delta, signed=True))
    return table


def print_table(run_dir: Path, *, verbose: bool = False) -> None:
    """Print the run's end on one screen; `verbose`: also pass@1 by domain, and every gate with its whole reason."""
    console = Console()
    evaluation = read_evaluation(run_dir / layout.EVALUATION)
    verdict = read_verdict(run_dir / layout.VERDICT)
    candidate = visible(evaluation.sides["candidate"].label)
    console.print(sides_table(evaluation))
    for against, label in (("base", "base"), ("base_best", "base at its best decode")):
        delta = _interval(evaluation.deltas[f"candidate-{against}"].pass_at_1, signed=True)
        console.print(f"{candidate} - {label}: pass@1 {delta}", highlight=False, markup=False)
    if verbose:
        console.print(domains_table(evaluation))
    console.print()
    print_judgement(verdict, console, verbose=verbose, shown=_GATES_SHOWN)
    for name, text in (("report", str(run_dir / layout.REPORT_HTML)), ("next", NEXT[verdict.outcome])):
        console.print(f"{name + ':':7} {visible(text)}", highlight=False, markup=False, soft_wrap=True)
