"""Which part of a model's answer is the program. One rule, the same for every sample, model and side.

1. The last complete code fence (three backticks on lines of their own) that is tagged as Python or not tagged.
2. Without one: if the prompt is code that ends inside `entry_point` and prompt + answer parses, the answer continues it.
3. Without that: the longest run of whole lines that parses as Python and does something.
4. Without that: no program.

A program that defines `entry_point` itself gets the prompt's imports and helpers put before it, when the prompt is code.
"""

import ast
import functools
import re
import warnings

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3"})
_MAX_SPAN_CHARACTERS = 1 << 16
_MAX_PARSES = 200


def build_program(completion: str, *, prompt: str = "", entry_point: str = "") -> str | None:
    """The program to run for a completion, or None when it holds no code.

    `prompt` and `entry_point` matter only for tasks whose prompt is the beginning of the program (HumanEval's form).
    """
    text = completion.replace("\r\n", "\n").lstrip("\ufeff")
    head = _preamble(prompt, entry_point)
    fenced = last_fence(text)
    if fenced is None and head is not None and not _defines(text, entry_point):
        continued = _continuation(prompt, text)
        if continued is not None:
            return continued
    program = fenced if fenced is not None else longest_parsable_span(text)
    if program is None or head is None:
        return program
    if _defines(program, entry_point):
        return head + program
    return _continuation(prompt, program) or program


def last_fence(text: str) -> str | None:
    """The body of the last complete fence tagged as Python or untagged; an empty body is no code."""
    bodies = [match[2] for match in _FENCE.finditer(text) if match[1].lower() in _PYTHON_TAGS and match[2].strip()]
    return bodies[-1] if bodies else None


def longest_parsable_span(text: str) -> str | None:
    """The longest run of whole lines, starting at a line without indent, that parses and is more than names and prose.

    Looks at the first 65,536 characters and tries at most 200 parses, so hostile text cannot stall the caller.
    """
    lines = text[:_MAX_SPAN_CHARACTERS].split("\n")
    best, start, budget = "", 0, _MAX_PARSES
    while start < len(lines) and budget > 0:
        if not lines[start].strip() or lines[start][0] in " \t":
            start += 1
            continue
        stop = len(lines)
        while stop > start and budget > 0:
            budget -= 1
            source = "\n".join(lines[start:stop])
            if len(source) <= len(best):
                break
            found, error_line = _parse(source)
            if found is not None:
                if _does_something(found):
                    best = source.rstrip() + "\n"
                break
            stop = min(start + error_line - 1, stop - 1)
        start = max(stop, start + 1)
    return best or None


def _parse(source: str) -> tuple[ast.Module | None, int]:
    """The tree, or None and the line (from 1) where parsing stopped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source), 0
    except SyntaxError as error:
        return None, max(error.lineno or 1, 1)
    except (ValueError, MemoryError, RecursionError):
        return None, 1


def _does_something(tree: ast.Module) -> bool:
    """Prose can parse ("Hello", "x"); code assigns, defines, imports, calls or branches."""
    for statement in tree.body:
        if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Call | ast.Await):
            return True
    return False


def _defines(program: str, entry_point: str) -> bool:
    name = re.escape(entry_point.partition(".")[0])
    return (
        bool(name)
        and re.search(rf"^(?:(?:async\s+)?def|class)\s+{name}\b|^{name}\s*=", program, re.MULTILINE) is not None
    )


@functools.lru_cache(maxsize=1024)
def _preamble(prompt: str, entry_point: str) -> str | None:
    """What stands before the last `def entry_point` of a prompt that is code; None when the prompt is not."""
    if not entry_point:
        return None
    found = list(re.finditer(rf"^def\s+{re.escape(entry_point)}\s*\(", prompt, re.MULTILINE))
    if not found:
        return None
    head = prompt[: found[-1].start()]
    return head if _parse(head)[0] is not None else None


def _continuation(prompt: str, text: str) -> str | None:
    """Prompt + answer, cut after the last line with which it parses, if the answer adds a statement."""
    lines = text.split("\n")
    stop, first = len(lines), prompt.count("\n")
    for _ in range(_MAX_PARSES):
        whole = prompt + "\n".join(lines[:stop])
        if not "".join(lines[:stop]).strip():
            return None
        tree, error_line = _parse(whole)
        if tree is not None:
            return whole.rstrip() + "\n"
        stop = min(error_line - 1 - first, stop - 1)
        if stop <= 0:
            return None
    return None
