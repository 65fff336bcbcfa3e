"""Text from models and users made harmless for terminals, XML, JSON and Markdown: hostile until it went through here."""

import unicodedata

_HIDDEN = (
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Zl",
    "Zp",
)  # controls, bidi overrides, surrogates, unassigned, line separators
_PLAIN = frozenset(" ,;%+'")


def visible(text: str, limit: int = 2000) -> str:
    """`text` on one line with every control, formatting and unpaired character spelled out (ESC becomes \\x1b), cut at
    `limit` characters with a note of how many were left out. Valid in XML 1.0, UTF-8 and on a terminal.
    """
    head = text[:limit]
    shown = head if head.isprintable() else "".join(map(_spell, head))
    return shown if len(text) <= limit else f"{shown} [{len(text) - limit} more characters]"


def _spell(char: str) -> str:
    if char in "\n\t":
        return " "
    if unicodedata.category(char) in _HIDDEN:
        return char.encode("unicode_escape").decode()
    return char


def markdown(text: str, limit: int = 300) -> str:
    """`visible` text in which no character can be markup: punctuation becomes numeric references, which CommonMark and
    GitHub never read as structure (https://spec.commonmark.org/0.31.2/#entity-and-numeric-character-references).
    """
    shown = visible(text, limit)
    return "".join(char if char.isalnum() or char in _PLAIN else f"&#{ord(char)};" for char in shown)
