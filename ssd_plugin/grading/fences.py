"""The code blocks of an answer in Markdown: read line by line, in time linear in the text.

What a model writes is often not quite Markdown: a fence stands in a list item or a quotation, is glued to a sentence or to
the last line of the code, is of tildes, of HTML or of `[PYTHON]` tags, or never ends. All of these are blocks here.
"""

import html
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

_PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3", "ipython", "ipython3"})
_TAG = re.compile(r"\{?\.?([\w+#-]*)")
_OPENING = re.compile(r"([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,}|~{3,})(.*)", re.DOTALL)
_MARKUP_OPENS = re.compile(
    r"<pre(?:[ \t][^<>\n]{0,200})?>|\[PYTHON\]|(?<!>)^[ \t]*<code(?:[ \t][^<>\n]{0,200})?>", re.M
)
_CODE_TAG = re.compile(r"\s*<code(?:[ \t][^<>\n]{0,200})?>|</code>\s*\Z")
_MARKUP_CLOSES = re.compile(r"</pre>|\[/PYTHON\]|</code>[ \t]*$", re.M)
_MOST_BLOCKS = 200
_SEPARATOR = "```"
_INDENT_OF_A_FENCE = 3  # columns by which a closing fence may stand deeper than its opening one (CommonMark 4.5)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block that may hold Python. `indented`: its code stands deeper than its fence, as the rest of a function does."""

    code: str
    indented: bool
    closed: bool


@dataclass(frozen=True, kw_only=True)
class _Fence:
    mark: str
    tag: str
    lead: str
    first: int

    @property
    def is_python(self) -> bool:
        return self.tag in _PYTHON_TAGS

    def closes(self, line: str) -> bool:
        """Whether a line that begins with a fence and says nothing more ends this one."""
        found = _OPENING.match(line)
        if not found or found[2][0] != self.mark[0] or len(found[2]) < len(self.mark):
            return False
        return not self._is_deeper(found[1]) and _ends(found[3], self.mark[0])

    def yields_to(self, other: "_Fence") -> bool:
        """Whether another opening line inside begins a block anew: this one was left open, or holds text with fences."""
        longer = len(other.mark) >= len(self.mark) and other.mark[0] == self.mark[0]
        return bool(other.tag) and (longer or not self.is_python) and not self._is_deeper(other.lead)

    def _is_deeper(self, lead: str) -> bool:
        return _columns(lead) > _columns(self.lead) + _INDENT_OF_A_FENCE


def python_blocks(text: str) -> list[Block]:
    """The blocks tagged as Python or not tagged, in order, the last 200 of them; those without any text are left out.

    A text with no fence at all is read for `<pre>`, `<code>` and `[PYTHON]` blocks.
    """
    lines = text.split("\n")
    spans = list(_spans(lines))
    found = [_block(s.fence, [*lines[s.fence.first : s.stop], *s.glued], s.closed) for s in spans if s.fence.is_python]
    blocks = [block for block in found if block.code.strip()]
    return (blocks or ([] if spans else list(_markup(text))))[-_MOST_BLOCKS:]


def outside_blocks(text: str) -> str:
    """The text without its blocks, a bare fence in the place of each. One that never ends and may hold Python stays: the
    fence could have been a closing one."""
    lines, kept, position = text.split("\n"), [], 0
    for span in _spans(lines):
        if span.closed or not span.fence.is_python:
            kept += [*lines[position : span.fence.first - 1], _SEPARATOR]
            position = span.stop + 1
    return "\n".join([*kept, *lines[position:]])


def before_blocks(text: str) -> str:
    """What stands before the first line that begins with a fence."""
    lines = text.split("\n")
    first = next((span.fence.first - 1 for span in _spans(lines)), len(lines))
    return "\n".join(lines[:first])


@dataclass(frozen=True, kw_only=True)
class _Span:
    """A fence, the number of the first line after its body, a last line that was glued to its end, and whether it ended."""

    fence: _Fence
    stop: int
    glued: tuple[str, ...] = ()
    closed: bool = True


def _spans(lines: list[str]) -> Iterator[_Span]:
    fence: _Fence | None = None
    for number, line in enumerate(lines):
        opened = _opened(line, number, inside=fence is not None)
        if fence is None:
            fence = opened
        elif fence.closes(line):
            yield _Span(fence=fence, stop=number)
            fence = None
        elif opened and fence.yields_to(opened):
            yield _Span(fence=fence, stop=number)
            fence = opened
        elif (glued := _glued_to_code(line, fence.mark)) is not None:
            yield _Span(fence=fence, stop=number, glued=(glued,))
            fence = None
    if fence is not None:
        yield _Span(fence=fence, stop=len(lines), closed=False)


def _opened(line: str, number: int, *, inside: bool) -> _Fence | None:
    """The fence that a line opens: at its begin, or, outside any block, at the end of a sentence."""
    found = _OPENING.match(line)
    if found:
        lead, mark, info = found.groups()
        if mark[0] == "`" and "`" in info:
            return None
        return _Fence(mark=mark, tag=_tag(info), lead=lead, first=number + 1)
    sentence, ticks, info = line.rpartition("```")
    if inside or not ticks or "`" in sentence or len(info.split()) > 1:
        return None
    if not (_tag(info) if info.strip() else sentence.rstrip().endswith(":")):
        return None
    return _Fence(mark=ticks, tag=_tag(info), lead="", first=number + 1)


def _tag(info: str) -> str:
    found = _TAG.match(info.strip())
    return found[1].lower() if found else ""


def _ends(info: str, mark: str) -> bool:
    """What may follow a closing fence: nothing, or a sentence that was glued to it."""
    words = info.split()
    return mark not in info and (not words or (len(words) > 1 and _tag(info) not in _PYTHON_TAGS and "=" not in info))


def _glued_to_code(line: str, mark: str) -> str | None:
    """The code of a line that ends with the closing fence."""
    code = line.rstrip()
    if not code.endswith(mark):
        return None
    code = code.removesuffix(mark)
    return code if code.strip() and mark[0] not in code else None


def _columns(lead: str) -> int:
    return len(lead.expandtabs(4))


def _block(fence: _Fence, body: list[str], closed: bool) -> Block:
    if ">" in fence.lead:
        body = [re.sub(r"^[ \t]*>[ \t]?", "", line, count=1) for line in body]
    indent = len(fence.lead.rpartition(">")[2])
    return _dedented("".join(_outdented(line, indent) + "\n" for line in body), closed)


def _outdented(line: str, indent: int) -> str:
    """The line without the white space, up to `indent` characters of it, that its fence stands behind."""
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]


def _dedented(code: str, closed: bool) -> Block:
    first = next((line for line in code.split("\n") if line.strip()), "")
    indented = first[:1] in (" ", "\t")
    return Block(code=textwrap.dedent(code) if indented else code, indented=indented, closed=closed)


def _markup(text: str) -> Iterator[Block]:
    position = 0
    while opens := _MARKUP_OPENS.search(text, position):
        closes = _MARKUP_CLOSES.search(text, opens.end())
        position = closes.end() if closes else len(text)
        body = text[opens.end() : closes.start() if closes else len(text)]
        code = html.unescape(_CODE_TAG.sub("", body).strip("\n")) if opens[0][0] == "<" else body.strip("\n")
        if code.strip():
            yield _dedented(code + "\n", closes is not None)
