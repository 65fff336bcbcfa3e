"""Chat templates are programs that come with a model: read as text, rendered in a sandboxed, immutable environment only."""

import re
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ssd_plugin.gating.model_files import read_bounded

_MAX_TEMPLATE = 2**20  # characters
_MAX_RENDERED = 2**20
_PROBE = "ssd-probe-7f3a"
_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def templates(directory: Path) -> dict[str, str]:
    """Chat templates by where they stand, in every place that loaders look.

    Raises:
        ValueError: a file is too large or malformed.
    """
    found: dict[str, str] = {}
    for path in [directory / "chat_template.jinja", *sorted(directory.glob("additional_chat_templates/*.jinja"))]:
        if path.is_file():
            if path.stat().st_size > _MAX_TEMPLATE:
                raise ValueError(f"{path.name}: larger than 1 MB")
            found[path.relative_to(directory).as_posix()] = path.read_text(encoding="utf-8")
    for name in ("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        if (directory / name).is_file():
            value = read_bounded(directory / name)
            found |= _inside(value.get("chat_template") if isinstance(value, dict) else None, name)
    return found


def _inside(value: Any, name: str) -> dict[str, str]:
    match value:
        case None:
            return {}
        case str():
            return {name: value}
        case list() if all(isinstance(one, dict) for one in value):
            return {f"{name}:{one.get('name')}": str(one.get("template")) for one in value}
    raise ValueError(f"{name}: chat_template is neither text nor a list of named templates")


def active_template(directory: Path) -> str:
    """The text that transformers renders: chat_template.jinja before tokenizer_config.json; "" when there is none.

    Raises:
        ValueError: as `templates`.
    """
    found = templates(directory)
    return next((found[name] for name in ("chat_template.jinja", "tokenizer_config.json") if name in found), "")


def _raise(message: str) -> None:
    raise TemplateError(message)


def render_trouble(template: str) -> str:
    """Why rendering one user message fails or loses it, or "". The caller bounds time and memory by running this apart."""
    if len(template) > _MAX_TEMPLATE:
        return "larger than 1 MB"
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **_: str(value)
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda _: "2026-01-01"}
    try:
        compiled = environment.from_string(_without_generation_tags(template))
        messages = [{"role": "user", "content": _PROBE}]
        pieces, size = [], 0
        for piece in compiled.generate(messages=messages, add_generation_prompt=True, **_SPECIAL):
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_RENDERED:
                return "renders one short message to more than 1 MB"
    except SecurityError as error:
        return f"reaches for what the sandbox forbids ({error})"
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        return f"cannot be rendered ({type(error).__name__}: {error})"
    return "" if "".join(pieces).count(_PROBE) == 1 else "does not render the user's message exactly once"


def _without_generation_tags(template: str) -> str:
    """`{% generation %}` marks assistant text for training masks; plain Jinja does not know it and rendering does not need it."""
    return re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)
