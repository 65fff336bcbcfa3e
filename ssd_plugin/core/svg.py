"""Pieces of SVG: every text is made visible and escaped, so that what models and users wrote stays text."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from ssd_plugin.core.text import visible


def clean(text: str) -> str:
    """Text with tabs expanded and every other control, bidirectional override and unpaired surrogate spelled out."""
    return "\n".join(visible(line.expandtabs(4), len(line) * 4) for line in text.split("\n"))


def tag(name: str, content: str = "", **attributes: str | float) -> Markup:
    """An SVG element; underscores in attribute names become hyphens, a trailing one is dropped."""
    parts = [name]
    for key, value in attributes.items():
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(clean(text))}"')
    inner = content if isinstance(content, Markup) else escape(clean(content))
    return Markup(f"<{' '.join(parts)}>{inner}</{name}>")  # noqa: S704 (every part is escaped above)


def join(parts: Sequence[Markup]) -> Markup:
    """Finished pieces, one after the other."""
    return Markup("").join(parts)


def caption(x: float, y: float, content: str, anchor: str = "middle", class_: str = "tick") -> Markup:
    """A text at a point."""
    return tag("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The map that takes `low` to `start` and `high` to `end`."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that span [low, high]: steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
