"""Overrides: `section.key=value` texts and TOML files, laid over a recipe's config with every mistake named by its path."""

import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from ssd_plugin.config import RunConfig
from ssd_plugin.errors import ConfigError

T = TypeVar("T")


def _allowed(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"a list of {_allowed(typing.get_args(kind)[0])}s"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def _fits(kind: Any, value: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_fits(typing.get_args(kind)[0], item) for item in value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _convert(kind: Any, value: Any, path: str) -> Any:
    if not _fits(kind, value):
        raise ConfigError(f"{path} = {value!r} is not allowed; allowed: {_allowed(kind)}")
    if typing.get_origin(kind) is tuple:
        return tuple(_convert(typing.get_args(kind)[0], item, path) for item in value)
    return float(value) if kind is float else value


def _parse(kind: Any, text: str, path: str) -> Any:
    """The value that a command-line text stands for, by the field's type."""
    if kind is str or typing.get_origin(kind) is Literal:
        return text
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return [_parse(item, part, path) for part in text.strip().strip("[]()").split(",") if part.strip()]
    try:
        return {"true": True, "false": False}[text.strip().lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ConfigError(f"{path} = {text!r} is not allowed; allowed: {_allowed(kind)}") from None


def _unknown(path: str, name: str, names: Iterable[str]) -> ConfigError:
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return ConfigError(f"{path}: no such setting; {hint}")


def _build(kind: type[T], current: T | None, values: Mapping[str, Any], prefix: str) -> T:
    """`current` (or a new `kind`) with `values` laid over it; nested mappings go into nested sections."""
    hints = typing.get_type_hints(kind)
    changes: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if name not in hints:
            raise _unknown(path, name, hints)
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{path} = {value!r} is not allowed; it is a section: set {path}.KEY")
            section = typing.cast(type[Any], hints[name])
            changes[name] = _build(section, getattr(current, name, None), value, f"{path}.")
        else:
            changes[name] = _convert(hints[name], value, path)
    try:
        return dataclasses.replace(typing.cast(Any, current), **changes) if current is not None else kind(**changes)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from None
    except TypeError:
        required = [
            f.name for f in dataclasses.fields(typing.cast(Any, kind)) if _is_required(f) and f.name not in changes
        ]
        raise ConfigError(f"{prefix}{', '.join(required)}: missing") from None


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _field_type(path: str) -> Any:
    kind: Any = RunConfig
    walked: list[str] = []
    for name in path.split("."):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        walked.append(name)
        if name not in hints:
            raise _unknown(".".join(walked), name, hints)
        kind = hints[name]
    if dataclasses.is_dataclass(kind):
        raise ConfigError(
            f"{path}: is a section, not a setting; known: {', '.join(f'{path}.{n}' for n in typing.get_type_hints(kind))}"
        )
    return kind


def apply_overrides(config: RunConfig, overrides: Iterable[str]) -> RunConfig:
    """Lay `section.key=value` texts over a config, all at once (so that values that depend on each other can change together).

    Raises:
        ConfigError: no `=`, an unknown path (nearest names offered), or a value that is not allowed.
    """
    tree: dict[str, Any] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not path:
            raise ConfigError(f"override {text!r}: write section.key=value")
        parsed = _parse(_field_type(path), value, path)
        *sections, name = path.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = parsed
    return _build(RunConfig, config, tree, "")


def apply_toml(config: RunConfig, path: Path) -> RunConfig:
    """Lay a TOML file's tables over a config.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key or a value that is not allowed.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    return _build(RunConfig, config, values, "")


def config_to_json(config: RunConfig) -> dict[str, Any]:
    """Plain values; `config_from_json(config_to_json(c)) == c`."""
    return dataclasses.asdict(config)


def config_from_json(values: Mapping[str, Any]) -> RunConfig:
    """Rebuild a config from `config.json`.

    Raises:
        ConfigError: a key is unknown or missing, or a value is not allowed.
    """
    return _build(RunConfig, None, values, "")
