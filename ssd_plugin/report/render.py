"""Fills the templates. HTML is autoescaped, so that model text is text; only `charts.py` hands over finished markup."""

from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

TEMPLATES = files("ssd_plugin.report") / "templates"


def render(template: str, **values: Any) -> str:
    """One template of this package; `*.html.j2` is autoescaped and given the style sheet, an undefined name is an error."""
    environment = jinja2.Environment(
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704 (a file of this package)
    return environment.from_string((TEMPLATES / template).read_text(encoding="utf-8")).render(style=style, **values)
