"""Text from models and users made harmless for terminals, XML, JSON and Markdown: hostile until it went through here."""

import re
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
# What CI runners obey at the beginning of a line, which wrapping may put anywhere: `::error`, `##[group]`, `section_start:1:x`.
_COMMAND = re.compile(r"(?<=:):|(?<=#)#|(?<=section_start):|(?<=section_end):")
_PLAIN = frozenset(",;%+-=>/'\")[]")


def visible(text: str, limit: int = 2000) -> str:
    """`text` on one line with every control, formatting and unpaired character spelled out (ESC becomes \\x1b), cut at
    `limit` characters with a note of how many were left out. Valid in XML 1.0, UTF-8 and on a terminal; nothing in it is a
    command to a CI runner that reads the log.
    """
    head = text[:limit]
    shown = head if head.isprintable() else "".join(map(_spell, head))
    shown = _COMMAND.sub(lambda match: f"\\x{ord(match.group()):02x}", shown)
    return shown if len(text) <= limit else f"{shown} [{len(text) - limit} more characters]"


def _spell(char: str) -> str:
    if char in "\n\t":
        return " "
    if unicodedata.category(char) in _HIDDEN:
        return char.encode("unicode_escape").decode()
    return char


def markdown(text: str, limit: int = 300) -> str:
    """`visible` text in which no character can be markup: punctuation that could be becomes numeric references, which
    CommonMark and GitHub never read as structure (https://spec.commonmark.org/0.31.2/#entity-and-numeric-character-references).

    What cannot be is left, so that "+0.012 [-0.003, +0.027]" can be read in a log too.
    """
    shown = visible(text, limit)
    padded = f" {shown} "
    number = len(shown) - len(shown.lstrip("0123456789"))
    return "".join(
        char if char.isalnum() or _is_harmless(before, char, after, opening=index <= number) else f"&#{ord(char)};"
        for index, (before, char, after) in enumerate(zip(padded, shown, padded[2:], strict=False))
    )


def _is_harmless(before: str, char: str, after: str, *, opening: bool) -> bool:
    """Whether this punctuation is text where it stands. Right at the beginning or behind a
    first number it could open a list, a quotation, a heading."""
    match char:
        case " ":  # the first one begins a code block
            return not opening or before.isdigit()
        case "." | ":":  # before a letter it could make an address; after the first number a list
            return (after == " " and before.isalpha()) or (before.isdigit() and after.isdigit())
        case "_":
            return before.isalnum() and after.isalnum()
        case "(":
            return before != "]"
    return char in _PLAIN and not opening
