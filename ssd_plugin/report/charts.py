"""Charts as inline SVG without any dependency: every text is escaped, colours come from the page's style sheet.

The drawing is 460 units wide so that its 12-unit text stays readable on a phone; `.s0` to `.s3` colour the series.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from ssd_plugin.core.svg import caption, clean, join, line, scale, tag, ticks

WIDTH = 460
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 40
ROW_HEIGHT = 26
LABELLED_ROW = 40
LINES_HEIGHT = 260


@dataclass(frozen=True, kw_only=True)
class Series:
    """(x, y) points in rising x, `joined` by a line or not, an optional band of (x, low, high), and their colour (0 to 3)."""

    label: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    colour: int
    joined: bool = True


@dataclass(frozen=True, kw_only=True)
class IntervalRow:
    """One interval to draw; `margin`, the tolerated change with its sign, is a dashed tick; `tone` is a CSS class."""

    label: str
    estimate: float
    low: float
    high: float
    margin: float | None = None
    tone: str = ""


def _svg(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    box = f"0 0 {WIDTH} {height:g}"
    return tag("svg", join([tag("title", title), *parts]), viewBox=box, role="img", aria_label=title, class_="chart")


def number(value: float) -> str:
    """A tick's text: short, without trailing zeros."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """A fraction as percent, for ticks."""
    return f"{100 * value:.3g} %"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if i else 'M'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(points))


def _rotated(y: float, content: str) -> Markup:
    return tag("text", content, transform=f"translate(11 {y:g}) rotate(-90)", class_="axis", text_anchor="middle")


def _legend(series: Sequence[Series]) -> Markup:
    items = [
        tag("span", join([tag("i", class_=f"key s{one.colour}"), escape(clean(one.label))]), class_="legend-item")
        for one in series
    ]
    return tag("div", join(items), class_="legend")


def _draw_series(
    one: Series, x_at: Callable[[float], float], y_at: Callable[[float], float], y_text: Callable[[float], str]
) -> list[Markup]:
    colour = f"s{one.colour}"
    parts = []
    if one.band:
        edge = [(x_at(x), y_at(low)) for x, low, _ in one.band]
        edge += [(x_at(x), y_at(high)) for x, _, high in reversed(one.band)]
        parts.append(tag("path", d=_path(edge) + "Z", class_=f"band {colour}"))
    dots = [(x_at(x), y_at(y)) for x, y in one.points]
    if one.joined:
        parts.append(tag("path", d=_path(dots), class_=f"line {colour}"))
    if len(dots) <= 30 or not one.joined:
        for (x, y), (raw_x, raw_y) in zip(dots, one.points, strict=True):
            note = tag("title", f"{one.label}: {number(raw_x)}, {y_text(raw_y)}")
            parts.append(tag("circle", note, cx=x, cy=y, r=3, class_=f"dot {colour}"))
    return parts


def line_drawing(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    y_text: Callable[[float], str] = number,
    from_zero: bool = False,
) -> list[Markup]:
    """Lines with optional bands and axes, `WIDTH` by `LINES_HEIGHT` units; one series or more, each with a point."""
    height = LINES_HEIGHT
    ys = [y for one in series for _, y in one.points] + [
        edge for one in series for _, *band in one.band for edge in band
    ]
    xs = [x for one in series for x, _ in one.points]
    y_ticks = ticks(0.0 if from_zero else min(ys), max(ys))
    x_at = scale(min(xs), max(xs), LEFT + 6, WIDTH - RIGHT - 6)
    y_at = scale(y_ticks[0], y_ticks[-1], height - BOTTOM, TOP)
    parts = [line(LEFT, y_at(y), WIDTH - RIGHT, y_at(y), "grid") for y in y_ticks]
    parts += [caption(LEFT - 6, y_at(y) + 4, y_text(y), "end") for y in y_ticks]
    whole = all(x == int(x) for x in xs)
    shown = [x for x in ticks(min(xs), max(xs), 6) if min(xs) <= x <= max(xs) and not (whole and x != int(x))]
    parts += [caption(x_at(x), height - BOTTOM + 16, number(x)) for x in shown]
    parts += [caption((LEFT + WIDTH) / 2, height - 6, x_label, class_="axis"), _rotated(height / 2 - 12, y_label)]
    for one in series:
        parts += _draw_series(one, x_at, y_at, y_text)
    return parts


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_text: Callable[[float], str] = number,
    from_zero: bool = False,
) -> Markup:
    """`line_drawing` of the series that have a point, with a legend; empty when none has."""
    drawn = [one for one in series if one.points]
    if not drawn:
        return Markup("")
    parts = line_drawing(drawn, x_label=x_label, y_label=y_label, y_text=y_text, from_zero=from_zero)
    return join([_svg(title, LINES_HEIGHT, parts), _legend(drawn)])


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
    row_label: str,
    column_label: str,
    text: Callable[[float], str] = percent,
) -> Markup:
    """Cells shaded from the lowest to the highest value, each with its figure; `values` is "rows columns", None is blank."""
    known = [value for row in values for value in row if value is not None]
    if not known:
        return Markup("")
    height = TOP + ROW_HEIGHT * len(rows) + BOTTOM
    width = (WIDTH - LEFT - RIGHT) / len(columns)
    shade = scale(min(known), max(known), 0.0, 1.0)
    parts = [_rotated((height - BOTTOM) / 2, row_label)]
    for i, (name, row) in enumerate(zip(rows, values, strict=True)):
        y = TOP + ROW_HEIGHT * i
        parts.append(caption(LEFT - 6, y + 17, name, "end"))
        for j, value in enumerate(row):
            if value is None:
                continue
            x, strength = LEFT + width * j, shade(value)
            note = tag("title", f"{row_label} {name}, {column_label} {columns[j]}: {text(value)}")
            box = {"x": x, "y": y, "width": width - 1, "height": ROW_HEIGHT - 1}
            parts.append(tag("rect", note, **box, class_="cell", fill_opacity=0.06 + 0.94 * strength))
            on_cell = "on-cell" if strength > 0.6 else "axis"
            parts.append(caption(x + width / 2, y + 17, text(value).removesuffix(" %"), class_=on_cell))
    parts += [caption(LEFT + width * (j + 0.5), height - BOTTOM + 16, name) for j, name in enumerate(columns)]
    parts.append(caption((LEFT + WIDTH) / 2, height - 6, column_label, class_="axis"))
    return _svg(title, height, parts)


def interval_chart(
    rows: Sequence[IntervalRow], *, title: str, x_label: str, x_text: Callable[[float], str] = percent
) -> Markup:
    """A forest plot: a label, below it estimate and interval; zero as a line, the margin as a dashed tick."""
    if not rows:
        return Markup("")
    left, height = 24, TOP + LABELLED_ROW * len(rows) + BOTTOM
    edges = [edge for row in rows for edge in (row.low, row.high, 0.0, row.margin or 0.0)]
    marks = ticks(min(edges), max(edges), 4)
    at = scale(marks[0], marks[-1], left, WIDTH - RIGHT - 12)
    parts = [line(at(mark), TOP, at(mark), height - BOTTOM, "zero" if mark == 0 else "grid") for mark in marks]
    parts += [caption(at(mark), height - BOTTOM + 16, x_text(mark)) for mark in marks]
    for index, row in enumerate(rows):
        y = TOP + LABELLED_ROW * index + 26
        label = row.label if len(row.label) <= 60 else row.label[:59] + "…"
        parts.append(caption(4, y - 14, label, "start"))
        if row.margin is not None:
            parts.append(line(at(row.margin), y - 8, at(row.margin), y + 8, "margin"))
        note = tag("title", f"{row.label}: {x_text(row.estimate)} [{x_text(row.low)}, {x_text(row.high)}]")
        parts.append(line(at(row.low), y, at(row.high), y, f"interval {row.tone}"))
        parts.append(tag("circle", note, cx=at(row.estimate), cy=y, r=4, class_=f"estimate {row.tone}"))
    parts.append(caption((left + WIDTH) / 2, height - 6, x_label, class_="axis"))
    return _svg(title, height, parts)


def bar_chart(rows: Sequence[tuple[str, float, str]], *, title: str) -> Markup:
    """Horizontal bars from (label, value, text shown at the bar); values are not negative."""
    if not rows:
        return Markup("")
    left, height = 150, 2 * TOP + ROW_HEIGHT * len(rows)
    at = scale(0.0, max(value for _, value, _ in rows), 0.0, WIDTH - left - 90)
    parts = []
    for index, (label, value, text) in enumerate(rows):
        y = TOP + ROW_HEIGHT * index
        parts.append(caption(left - 8, y + 17, label, "end"))
        parts.append(tag("rect", x=left, y=y + 4, width=max(at(value), 1.0), height=ROW_HEIGHT - 8, class_="bar"))
        parts.append(caption(left + max(at(value), 1.0) + 6, y + 17, text, "start"))
    return _svg(title, height, parts)
