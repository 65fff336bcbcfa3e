"""What each character of a Python program is to the grammar, so that a token can be named by where it begins."""

import ast
import bisect
import io
import keyword
import tokenize

CLASSES = ("keyword", "definition", "name", "attribute", "operator", "bracket", "literal", "layout", "comment")
_BRACKETS = frozenset("()[]{}:,")


def _names(tree: ast.Module) -> dict[tuple[int, int], str]:
    """(line, byte column) of names that are bound here, and of the rest, as "definition" or "name"."""
    found = {}
    for node in ast.walk(tree):
        match node:
            case ast.arg() | ast.Name(ctx=ast.Store()):
                found[node.lineno, node.col_offset] = "definition"
            case ast.Name():
                found[node.lineno, node.col_offset] = "name"
    return found


def _class_of(token: tokenize.TokenInfo, before: str, names: dict[tuple[int, int], str]) -> str:
    if token.type == tokenize.NAME:
        if keyword.iskeyword(token.string):
            return "keyword"
        if before == ".":
            return "attribute"
        if before in ("def", "class"):
            return "definition"
        column = len(token.line[: token.start[1]].encode())
        return names.get((token.start[0], column), "name")
    if token.type == tokenize.OP:
        return "bracket" if token.string in _BRACKETS else "operator"
    if token.type in (tokenize.NUMBER, tokenize.STRING):
        return "literal"
    return "comment" if token.type == tokenize.COMMENT else "layout"


def classify(program: str, offsets: list[int]) -> list[str]:
    """The class of the first non-blank character at or after each character offset; "layout" past the end of a line.

    Raises:
        SyntaxError, tokenize.TokenError: the program is not Python of this interpreter's version.
    """
    names = _names(ast.parse(program))
    starts = [0]
    for line in program.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans: list[tuple[int, int, str]] = []
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if end > begin and token.type not in (tokenize.INDENT, tokenize.NL, tokenize.NEWLINE):
            spans.append((begin, end, _class_of(token, before, names)))
            before = token.string
    begins = [begin for begin, _, _ in spans]
    classes = []
    for offset in offsets:
        at = offset
        while at < len(program) and program[at] in " \t":
            at += 1
        index = bisect.bisect_right(begins, at) - 1
        inside = index >= 0 and at < spans[index][1]
        classes.append(spans[index][2] if inside else "layout")
    return classes
