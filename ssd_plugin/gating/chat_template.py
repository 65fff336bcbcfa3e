"""Chat templates are programs that come with a model: read as text, rendered in a sandboxed, immutable environment only."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ssd_plugin.core.jsonl import sha256_json
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
        case list() if all(map(_is_named, value)):
            found = {f"{name}:{one['name']}": one["template"] for one in value}
            if len(found) < len(value):
                raise ValueError(f"{name}: chat_template names a template twice")
            return found
    raise ValueError(f"{name}: chat_template is neither text nor a list of named templates")


def _is_named(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("template"), str)


def _name(place: str) -> str:
    """What loaders call the template that stands there."""
    file, _, name = place.partition(":")
    if file.startswith("additional_chat_templates/"):
        return file.removeprefix("additional_chat_templates/").removesuffix(".jinja")
    if file in ("chat_template.jinja", "tokenizer_config.json"):
        return name or "default"
    return f"processor:{name}" if name else "processor"


def named_templates(directory: Path) -> dict[str, str]:
    """Every template by its name, that of `templates`' first place; "default" renders what nobody asked another for.

    A file may repeat what stands elsewhere. A second text for a name is kept under its place: some loader reads it.

    Raises:
        ValueError: as `templates`.
    """
    named: dict[str, str] = {}
    for place, text in templates(directory).items():
        name = _name(place)
        same = named.get(name, named.get("default") if name == "processor" else None)
        if same is None or same.strip() != text.strip():
            named[place if name in named else name] = text
    return named


def templates_digest(named: Mapping[str, str]) -> str:
    """The SHA-256 that approves these templates: the text's own where there is one, else that of the names and texts."""
    if named.keys() <= {"default"}:
        return hashlib.sha256(named.get("default", "").encode("utf-8", "replace")).hexdigest()
    return sha256_json(dict(named))


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
