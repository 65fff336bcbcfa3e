"""Nothing that a model or a file's name says is obeyed by the CI runner that reads the log."""

import textwrap

import pytest

from ssd_plugin.core.text import markdown, visible

COMMANDS = (
    "::error title=x::GO",
    "::add-mask::x",
    ":::error::x",
    "##[error]x",
    "##vso[task]",
    "section_start:1:x",
    "section_end:1:x",
)
SEPARATORS = (" ", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[0K")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("shown", [visible, markdown])
def test_no_line_begins_with_a_command_however_it_is_wrapped(command: str, separator: str, shown: object) -> None:
    text = shown(f"a name{separator}{command}")  # type: ignore[operator]
    assert not any(mark in text for mark in ("::", "##[", "##vso", "section_start:", "section_end:"))
    for width in range(1, 60):
        for line in textwrap.wrap(text, width):
            assert not line.lstrip().startswith(("::", "##", "section_start:", "section_end:"))
