"""The verdict as one picture, for a README or a pull request: an SVG file that needs nothing beside it, light and dark.

Every gate is a row. Its key figure's change is drawn in units of its own margin, losses to the left whichever way the
figure counts, so that one dashed line is the margin of them all.
"""

import textwrap
from collections.abc import Callable, Sequence

from markupsafe import Markup
from rich.text import Text

from ssd_plugin import __version__
from ssd_plugin.core.svg import caption, join, line, scale, tag
from ssd_plugin.core.text import visible
from ssd_plugin.gating.highlights import deciding, key_figure
from ssd_plugin.gating.verdict import JudgedGate, Measurement, Outcome, Tier, Verdict

WIDTH = 830
_LEFT, _PLOT, _NUMBERS, _RIGHT = 30, 300, 590, 810  # x of names, of the plot's two edges and of the right edge
_ROW = 36
_TOP = 118  # y of the first row
_WIDEST = (-4.0, 2.0)  # margins; an interval that is wider is cut off, with an arrow
_NARROWEST = (-1.5, 0.75)
_STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; font-size: 13px }
text { fill: #1c2128 } .paper { fill: #ffffff; stroke: #d0d7de } .word { font-size: 30px; font-weight: 700 }
.soft { fill: #57606a; font-size: 11.5px } .name { font-weight: 600 } .rule { stroke: #d0d7de } .zero { stroke: #57606a }
.margin { stroke: #cf222e; stroke-dasharray: 4 3 } .beyond { fill: #cf222e; opacity: 0.07 } .interval { stroke-width: 3 }
text.good { fill: #1a7f37 } text.bad { fill: #cf222e } text.open { fill: #9a6700 }
.shape.good { fill: #1a7f37; stroke: #1a7f37 } .shape.bad { fill: #cf222e; stroke: #cf222e }
.shape.open { fill: #9a6700; stroke: #9a6700 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117; stroke: #30363d } .soft { fill: #9198a1 } .rule { stroke: #30363d }
.zero { stroke: #9198a1 } .margin { stroke: #ff7b72 } .beyond { fill: #ff7b72; opacity: 0.12 }
text.good { fill: #3fb950 } text.bad { fill: #ff7b72 } text.open { fill: #d29922 }
.shape.good { fill: #3fb950; stroke: #3fb950 } .shape.bad { fill: #ff7b72; stroke: #ff7b72 }
.shape.open { fill: #d29922; stroke: #d29922 }
}
"""
_TONES = {"GO": "good", "pass": "good", "INCONCLUSIVE": "open", "insufficient": "open"}  # all else is bad


def picture(verdict: Verdict) -> str:
    """The file's text. The gates that decided come first, then the others in the policy's order."""
    first = deciding(verdict)
    gates = [*first, *(gate for gate in verdict.gates if gate not in first)]
    height = _TOP + _ROW * len(gates) + (34 if gates else 10)
    rows = _rows(gates, height) if gates else [_reason(verdict)]
    title = f"{verdict.outcome.value} by policy {visible(verdict.policy.name, 80)}"
    parts = [
        tag("title", title),
        tag("style", Markup(_STYLE)),  # noqa: S704 (a constant of this file)
        tag("rect", x=0.5, y=0.5, width=WIDTH - 1.0, height=height - 1.0, rx=6, class_="paper"),
        tag("rect", x=0.5, y=0.5, width=8, height=height - 1.0, rx=3, class_=f"shape {_tone(verdict.outcome.value)}"),
        *_head(verdict),
        *rows,
    ]
    box = f"0 0 {WIDTH} {height}"
    size = {"width": WIDTH, "height": height}
    svg = tag("svg", join(parts), xmlns="http://www.w3.org/2000/svg", viewBox=box, role="img", aria_label=title, **size)
    return f"{svg}\n"


def _tone(word: str) -> str:
    return _TONES.get(word, "bad")


def _cut(text: str, cells: int) -> str:
    """Visible text of at most this many cells; a wide character takes two."""
    shown = Text(visible(text))
    shown.truncate(cells, overflow="ellipsis")
    return shown.plain


def _head(verdict: Verdict) -> list[Markup]:
    looks = f"look {verdict.looks.look} of {verdict.looks.allowed}" if verdict.looks.look else "no look was spent"
    tasks = max((row.tasks for row in verdict.power), default=0)
    facts = [
        f"policy {_cut(verdict.policy.name, 40)}",
        *([f"{tasks} tasks"] if tasks else []),
        looks,
        *([f"sandbox {_cut(verdict.sandbox, 20)}"] if verdict.sandbox else []),
        visible(verdict.created[:10]),
        *(["cannot promote a model"] if verdict.outcome is Outcome.GO and not verdict.promotable else []),
    ]
    return [
        caption(_LEFT, 46, verdict.outcome.value, "start", f"word {_tone(verdict.outcome.value)}"),
        caption(_LEFT, 70, ", ".join(facts), "start", "soft"),
        caption(_RIGHT, 46, f"ssd {__version__}", "end", "soft"),
    ]


def _reason(verdict: Verdict) -> Markup:
    """Where no gate ran: why."""
    lines = textwrap.wrap(visible(verdict.reason), 110, max_lines=2, placeholder=" …")
    return join([caption(_LEFT, 92 + 18 * index, text, "start", "") for index, text in enumerate(lines)])


def _in_margins(figure: Measurement) -> tuple[float, float, float] | None:
    """Low, estimate and high of the change in margins, a loss being negative; None without an interval or a margin."""
    if figure.delta is None or figure.low is None or figure.high is None or not figure.margin:
        return None
    sign = -1 if figure.less_is_better else 1
    low, middle, high = sorted(sign * value / figure.margin for value in (figure.low, figure.delta, figure.high))
    return low, middle, high


def _rows(gates: Sequence[JudgedGate], height: int) -> list[Markup]:
    figures = [key_figure(gate) for gate in gates]
    drawn = [span for figure in figures if figure and (span := _in_margins(figure))]
    first = max(_WIDEST[0], min([_NARROWEST[0], *(1.1 * low for low, _, _ in drawn)]))
    last = min(_WIDEST[1], max([_NARROWEST[1], *(1.1 * high for _, _, high in drawn)]))
    at = scale(first, last, _PLOT, _NUMBERS - 20)
    note = "Each interval in units of its gate's margin: left of the dashed line is a loss that the policy does not accept."
    parts: list[Markup] = []
    if drawn:
        parts += [
            caption(_LEFT, height - 12, note, "start", "soft"),
            caption(at(-1), _TOP - 18, "margin", "end", "soft"),
            caption(min(at(0), _NUMBERS - 50), _TOP - 18, "no change", class_="soft"),
            caption(_NUMBERS, _TOP - 18, "candidate minus baseline, 95 %", "start", "soft"),
        ]
    for index, (gate, figure) in enumerate(zip(gates, figures, strict=True)):
        y = _TOP + _ROW * index
        parts += [line(_LEFT, y - 6, _RIGHT, y - 6, "rule")] if index else []
        parts += _row(gate, figure, y, at, (first, last))
    return parts


def _row(
    gate: JudgedGate, figure: Measurement | None, y: int, at: Callable[[float], float], ends: tuple[float, float]
) -> list[Markup]:
    status = gate.result.status.value
    tier = "" if gate.tier is Tier.CRITICAL else f", {gate.tier}"
    override = ", overridden" * bool(gate.override)
    parts = [
        caption(_LEFT, y + 10, _cut(gate.result.gate, 24), "start", "name"),
        caption(_PLOT - 20, y + 10, status, "end", _tone(status)),
    ]
    if figure is None:
        said = tag("title", visible(gate.result.reason))
        text = caption(_PLOT, y + 13, _cut(gate.result.reason, 82), "start", "soft")
        return [*parts, caption(_LEFT, y + 24, f"{gate.tier}{override}", "start", "soft"), tag("g", join([said, text]))]
    parts.append(caption(_LEFT, y + 24, f"{_cut(figure.name, 32)}{tier}{override}", "start", "soft"))
    numbers = f"{figure.delta:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"
    margin = f"margin {figure.margin:.3g}" if figure.margin else "no margin"
    parts.append(caption(_NUMBERS, y + 10, numbers, "start", ""))
    parts.append(caption(_NUMBERS, y + 24, f"{margin}, {_cut(figure.unit, 26)}", "start", "soft"))
    span = _in_margins(figure)
    return [*parts, *(_interval(span, y + 13, at, ends, _tone(status)) if span else [])]


def _interval(
    span: tuple[float, float, float], y: int, at: Callable[[float], float], ends: tuple[float, float], tone: str
) -> list[Markup]:
    """A line from low to high with a dot at the estimate, before margin and zero; an arrow where it runs out of the plot."""
    low, middle, high = (at(min(max(value, ends[0]), ends[1])) for value in span)
    top, bottom = y - _ROW / 2 - 1, y + _ROW / 2 - 1
    parts = [
        tag("rect", x=at(ends[0]), y=top, width=at(-1) - at(ends[0]), height=float(_ROW), class_="beyond"),
        line(at(-1), top, at(-1), bottom, "margin"),
        line(at(0), top, at(0), bottom, "zero"),
        line(low, y, high, y, f"interval shape {tone}"),
    ]
    if ends[0] <= span[1] <= ends[1]:
        parts.append(tag("circle", cx=middle, cy=y, r=5, class_=f"shape {tone}"))
    if span[0] < ends[0]:
        parts.append(tag("path", d=f"M{low - 9:.1f},{y} l9,-6 v12 z", class_=f"shape {tone}"))
    if span[2] > ends[1]:
        parts.append(tag("path", d=f"M{high + 9:.1f},{y} l-9,-6 v12 z", class_=f"shape {tone}"))
    return parts
