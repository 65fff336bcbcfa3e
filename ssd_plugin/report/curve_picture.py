"""The temperature curve as a picture that stands alone (README, docs), and as lines of a terminal."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from ssd_plugin.core.svg import tag
from ssd_plugin.core.text import visible
from ssd_plugin.report.charts import LINES_HEIGHT, WIDTH, Series, line_drawing, percent
from ssd_plugin.report.render import style_sheet

DRAWN = {"base": 0, "control": 3, "ssd": 1}
"""The arms that are drawn, with their colours."""

Document = Mapping[str, Any]


def _ks(document: Document) -> tuple[int, int]:
    return 1, int(document["curve"]["pass_at"])


def _series(document: Document, k: int) -> list[Series]:
    """pass@k of each drawn arm over the decode temperature, with its 95 % band."""
    found = []
    for arm, colour in DRAWN.items():
        if arm in document["arms"]:
            points = sorted(document["arms"][arm]["points"], key=lambda point: float(point["temperature"]))
            figures = [(point["temperature"], point["pass_at"][str(k)]) for point in points]
            found.append(Series(
                label=document["arms"][arm]["label"], colour=colour,
                points=[(x, figure["estimate"]) for x, figure in figures],
                band=[(x, figure["low"], figure["high"]) for x, figure in figures],
            ))  # fmt: skip
    return found


def picture(document: Document) -> str:
    """An SVG document: pass@1 and pass@k side by side, the legend and the sentence below; light or dark as the reader has it."""
    parts = []
    for column, k in enumerate(_ks(document)):
        drawing = line_drawing(_series(document, k), x_label="decode temperature", y_label=f"pass@{k}", y_text=percent,
                               from_zero=True)  # fmt: skip
        parts.append(tag("g", Markup("").join(drawing), transform=f"translate({column * WIDTH} 0)"))
    top = LINES_HEIGHT + 18
    for place, one in enumerate(_series(document, 1)):
        x = 20 + place * 300
        parts.append(tag("line", x1=x, y1=top, x2=x + 28, y2=top, class_=f"line s{one.colour}"))
        parts.append(tag("text", one.label, x=x + 36, y=top + 4))
    words = sentence(document)
    parts += [tag("text", line, x=20, y=top + 28 + 16 * row, class_="axis") for row, line in enumerate(words)]
    title = " ".join(words)
    height = top + 28 + 16 * len(words)
    style = Markup(f"<style>{style_sheet('chart.css')}text {{ font-family: sans-serif; }}</style>")  # noqa: S704
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height:g}" role="img" '
    return f'{head}aria-label="{escape(title)}">{style}{Markup("").join(parts)}</svg>\n'


def _found(document: Document, arm: str, against: str, k: int = 1) -> Document | None:
    for row in document["endpoints"]:
        if (row["arm"], row["against"], row["k"]) == (arm, against, k):
            return dict(row)
    return None


def _span(row: Document) -> str:
    return f"{row['estimate']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def sentence(document: Document) -> list[str]:
    """What a reader may quote, in one to three lines."""
    temperatures = sorted(document["curve"]["temperatures"])
    where = f"T {temperatures[0]:g}" + (f" to {temperatures[-1]:g}" if len(temperatures) > 1 else "")
    main = _found(document, "ssd", "base")
    if main is None:
        return []
    lines = [f"SSD - base at {where}, {document['tasks']} tasks: pass@1 {_span(main)}."]
    if (cut := _found(document, "ssd", "base_truncated")) is not None:
        lines.append(f"SSD - base truncated as the training samples were, not trained: {_span(cut)}.")
    if (best := _found(document, "ssd_best", "base_best")) is not None:
        lines.append(f"Each at its best decode: {_span(best)}.")
    return lines


def terminal_lines(document: Document) -> list[str]:
    """The figures in at most 79 columns: pass@1 and pass@k by arm and temperature, then every comparison."""
    first, second = _ks(document)
    temperatures = [point["temperature"] for point in document["arms"]["base"]["points"]]
    lines = [f"pass@{first} / pass@{second}" + "".join(f"{f'T {t:g}':>14}" for t in temperatures)]
    for arm, found in document["arms"].items():
        cells = (
            " / ".join(f"{point['pass_at'][str(k)]['estimate']:.3f}" for k in (first, second))
            for point in found["points"]
        )
        lines.append(f"{visible(arm):15}" + "".join(f"{cell:>14}" for cell in cells))
    lines.append(f"averaged over T, {len(document['seeds'])} seed(s), intervals that hold together:")
    return lines + [
        f"{row['arm']} - {row['against']}"[:32].ljust(32) + f" pass@{row['k']:<3}{_span(row)}"
        for row in document["endpoints"]
    ]
