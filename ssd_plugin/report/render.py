"""Fills the templates. HTML is autoescaped, so that model text is text; only `charts.py` hands over finished markup."""

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from ssd_plugin.core.svg import clean
from ssd_plugin.core.text import markdown

TEMPLATES = files("ssd_plugin.report") / "templates"


def _finalize(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _compiled(template: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    return environment.from_string((TEMPLATES / template).read_text(encoding="utf-8"))


def render(template: str, **values: Any) -> str:
    """One template of this package, given the style sheet; `*.html.j2` is autoescaped, an undefined name is an error.

    Every text that a template prints has its controls, bidirectional overrides and unpaired surrogates spelled out.
    """
    style = Markup(style_sheet("chart.css") + style_sheet("style.css"))  # noqa: S704 (files of this package)
    return _compiled(template).render(style=style, **values)


def style_sheet(name: str) -> str:
    """A style sheet of this package: `chart.css` holds the colours and what charts need, `style.css` the page."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
