"""Overrides: `section.key=value` texts and TOML files, laid over a recipe's config."""

import dataclasses
import json
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from ssd_plugin.config.generating import GenerateConfig
from ssd_plugin.config.parsing import build, unknown_key
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core.files import MOST_TOML, read_input
from ssd_plugin.errors import ConfigError, DataError

Tree = dict[str, Any]
Config = TypeVar("Config", RunConfig, GenerateConfig)
_DEEPEST = 32  # levels of tables and lists


def config_to_json(config: RunConfig | GenerateConfig) -> Tree:
    """Plain values; `config_from_json(config_to_json(c)) == c`."""
    return dataclasses.asdict(config)


def config_from_json(values: Mapping[str, Any]) -> RunConfig:
    """Rebuild a config from `config.json`.

    Raises:
        ConfigError: a key is unknown or missing, or a value is not allowed (names the path).
    """
    return build(RunConfig, values, "")


def apply_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """Lay `section.key=value` texts over a config, all at once, so that values that depend on each other change together.

    Raises:
        ConfigError: no `=`, an unknown path (nearest names offered), or a value that is not allowed.
    """
    tree: Tree = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not path:
            raise ConfigError(f"override {text!r}: write section.key=value")
        node = tree
        *sections, name = path.split(".")
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ConfigError(f"override {text!r:.200}: {section} is set to a value as well; set one of the two")
        node[name] = _parse(_field_type(type(config), path), value, path)
    _refuse_depth(tree)
    return build(type(config), merged(config_to_json(config), tree), "")


def apply_toml(config: RunConfig, path: Path) -> RunConfig:
    """Lay a TOML file's tables over a config.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key or a value that is not allowed.
    """
    try:
        values = tomllib.loads(read_input(path, MOST_TOML).decode("utf-8"))
    except DataError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    try:
        _refuse_depth(values)
        return build(RunConfig, merged(config_to_json(config), values), "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _refuse_depth(tree: Tree) -> None:
    """Tables of a framework's own options may be nested; a thousand levels no reader of the run's files would survive."""
    level: list[Any] = [tree]
    for _ in range(_DEEPEST):
        level = [inner for table in level for inner in (table.values() if isinstance(table, dict) else table)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
    if level:
        raise ConfigError(f"a setting is nested more than {_DEEPEST} levels deep")


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`over` laid over `under`, section by section."""
    tree = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(under.get(key), Mapping)
        tree[key] = merged(under[key], value) if both else value
    return tree


def _field_type(kind: Any, path: str) -> Any:
    """The type of the setting at a dotted path below the dataclass `kind`."""
    walked: list[str] = []
    for name in path.split("."):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        walked.append(name)
        if typing.get_origin(kind) is dict:  # a framework's own names: the framework checks them
            return Any
        if name not in hints:
            raise unknown_key(".".join(walked), name, hints)
        kind = hints[name]
    if typing.get_origin(kind) is dict:
        raise ConfigError(f"{path} is a table; set one of its values: {path}.NAME=VALUE")
    if dataclasses.is_dataclass(kind):
        raise ConfigError(
            f"{path} is a section; set one of: {', '.join(f'{path}.{n}' for n in typing.get_type_hints(kind))}"
        )
    return kind


def _parse(kind: Any, text: str, path: str) -> Any:
    """The value that a command-line text stands for, by the setting's type; `build` checks the rest."""
    if kind is Any:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if kind is str or typing.get_origin(kind) is Literal:
        return text
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return [_parse(item, part, path) for part in text.strip().strip("[]()").split(",") if part.strip()]
    try:
        return {"true": True, "false": False}[text.strip().lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        allowed = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"{path} = {text!r} is not allowed; allowed: {allowed}") from None
