"""Build frozen dataclasses from parsed JSON or TOML, refusing unknown keys and wrong types with the key's path."""

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ssd_plugin.errors import ConfigError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Within:
    """Bounds of a number, ends included, said where its field is: `k: Annotated[int, Within(1, 1000)] = 5`; `build` holds
    values to them. `open_ends`: neither end is allowed."""

    low: float
    high: float
    open_ends: bool = False

    def holds(self, value: float) -> bool:
        """Whether the number lies within."""
        return self.low < value < self.high if self.open_ends else self.low <= value <= self.high

    def __str__(self) -> str:
        """The bounds in words."""
        return f"above {self.low:g}, below {self.high:g}" if self.open_ends else f"{self.low:g} to {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Matching:
    """The form of a text, a regular expression for all of it, and how a message calls it; used as `Within`."""

    pattern: str
    called: str

    def holds(self, value: str) -> bool:
        """Whether the whole text has the form."""
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        """The form in words."""
        return self.called


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _refuse(path: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{path} = {value!r:.80} is not allowed; allowed: {allowed}")


def build(kind: type[T], value: object, path: str) -> T:
    """`value` (a parsed table) as an instance of the dataclass `kind`; `path` leads every message.

    Law: `build(kind, json.loads(json.dumps(dataclasses.asdict(x))), "") == x` for trees of dataclasses whose fields are text,
    numbers, bools, enums, dates (ISO text), optional values, tuples of one type and text-keyed dicts.

    Raises:
        ConfigError: an unknown key, a missing one, a wrong type, or a number that is not finite or not within its bounds.
    """
    if not isinstance(value, Mapping):
        raise _refuse(path, value, "a table")
    hints = _hints(cast(Any, kind))
    prefix = f"{path}." if path else ""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            raise unknown_key(f"{prefix}{key}", key, fields)
    for name, field in fields.items():
        missing = dataclasses.MISSING
        if name not in value and field.default is missing and field.default_factory is missing:
            raise ConfigError(f"{prefix}{name} is missing")
    values = {name: _convert(hints[name], entry, prefix + name) for name, entry in value.items()}
    try:
        return kind(**values)
    except ConfigError as error:  # from a __post_init__, which knows the field but not where its section stands
        raise ConfigError(f"{prefix}{error}") from None


def unknown_key(path: str, key: str, known: Iterable[str]) -> ConfigError:
    """The refusal of a key, with the nearest known ones."""
    names = list(known)
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(names)}"
    return ConfigError(f"{path} is not a known key; {hint}")


def _convert(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        plain, *said = arguments
        converted = _convert(plain, value, path)
        for bounds in said:
            if isinstance(bounds, Within | Matching) and not bounds.holds(converted):
                raise _refuse(path, converted, str(bounds))
        return converted
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _convert(inner, value, path)
    if origin is Literal:
        if value not in arguments:
            raise _refuse(path, value, ", ".join(map(repr, arguments)))
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _refuse(path, value, "a list")
        return tuple(_convert(arguments[0], entry, f"{path}[{index}]") for index, entry in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _refuse(path, value, "a table")
        return {str(key): _convert(arguments[1], entry, f"{path}.{key}") for key, entry in value.items()}
    if dataclasses.is_dataclass(kind):
        return build(kind, value, path)  # type: ignore[arg-type]
    return _scalar(kind, value, path)


def _scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _refuse(path, value, "a finite number")
        return float(value)
    if issubclass(kind, StrEnum):
        if value not in list(kind):
            raise _refuse(path, value, ", ".join(kind))
        return kind(value)
    if kind is date and isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise _refuse(path, value, "a date such as 2027-01-31") from None
    if type(value) is not kind:
        names = {str: "text", int: "a whole number", bool: "true or false", date: "a date such as 2027-01-31"}
        raise _refuse(path, value, names.get(kind, kind.__name__))
    return value
