"""Fields of a published row: there and of the right type, or one line that names file, row and field."""

from collections.abc import Mapping
from typing import Any

from ssd_plugin.errors import DataError

Row = Mapping[str, Any]


def text(row: Row, name: str, where: str) -> str:
    """A field that holds text and more than white space.

    Raises:
        DataError: it does not; `where` (file:line) leads the message.
    """
    value = optional_text(row, name, where)
    if not value.strip():
        raise DataError(f"{where}: field '{name}' is {'empty' if row.get(name) else 'missing'}; it must be text")
    return value


def optional_text(row: Row, name: str, where: str) -> str:
    """A field that holds text; empty where it is missing or null.

    Raises:
        DataError: it holds something else.
    """
    return _of_type(row, name, where, str, "text") or ""


def identifier(row: Row, name: str, where: str) -> str:
    """A field that holds text or a whole number.

    Raises:
        DataError: it does not.
    """
    return str(row[name]) if type(row.get(name)) is int else text(row, name, where)


def listed(row: Row, name: str, where: str) -> list[Any]:
    """A field that holds a list; a missing or null one holds none.

    Raises:
        DataError: it holds something else.
    """
    return _of_type(row, name, where, list, "a list") or []


def listed_texts(row: Row, name: str, where: str) -> list[str]:
    """A field that holds a list of texts; a missing or null one holds none.

    Raises:
        DataError: it holds something else.
    """
    value = listed(row, name, where)
    if not all(isinstance(item, str) for item in value):
        raise DataError(f"{where}: field '{name}' must be a list of texts, is {value!r:.60}")
    return value


def _of_type(row: Row, name: str, where: str, kind: type, called: str) -> Any:
    value = row.get(name)
    if value is not None and not isinstance(value, kind):
        raise DataError(f"{where}: field '{name}' must be {called}, is {value!r:.60}")
    return value
