"""Which part of a model's answer is the program. One rule, the same for every sample, model and side.

0. What a reasoning model thinks aloud is not its answer (`final_answer`); an answer it never came to holds no program.
1. The last complete code fence (three backticks on lines of their own) that is tagged as Python or not tagged.
   Inside an open fence a tagged one (```python) begins anew: the first was never closed.
2. Without one: if the prompt is code that ends inside `entry_point` and prompt + answer parses, the answer continues it.
3. Without that: the longest run of whole lines that parses as Python and does something.
4. Without that: no program.

A program that defines `entry_point` itself gets the prompt's imports and helpers put before it, when the prompt is code.
"""

import ast
import functools
import re
import warnings
from dataclasses import dataclass

_TICKS, _BLANK = "```", " \t"
_TAG = re.compile(r"[\w+#.-]*")
_PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3"})
_MAX_SPAN_CHARACTERS = 1 << 16
_MAX_PARSES = 200
_MAX_PARSED = 1 << 20  # characters, in all parses of one answer: a second or two
_THINKING = re.compile(r"^[ \t]*<think>", re.MULTILINE)
_END_OF_THINKING = "</think>"
_ANALYSIS, _FINAL = "analysis", "assistantfinal"
# A thought is glued to its channel's name; what begins with one of these is a plain answer (`analysis = 1`, `analysis: ...`).
_GLUED = re.compile(_ANALYSIS + r"[^\s_=:.,;()\[\]'-]")


def build_program(completion: str, *, prompt: str = "", entry_point: str = "", thinking: bool = False) -> str | None:
    """The program to run for a completion, or None when it holds no code.

    `prompt` and `entry_point` matter only for tasks whose prompt is the beginning of the program (HumanEval's form);
    `thinking`: see `final_answer`.
    """
    text = final_answer(completion.replace("\r\n", "\n").lstrip("\ufeff"), thinking)
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


def final_answer(text: str, thinking: bool = False) -> str:
    """What a model answers after it has thought aloud; the whole text of one that does not, nothing where no answer came.

    Two forms, each as it is in the text once special tokens are left out:

    - `<think>...</think>answer` (DeepSeek-R1, QwQ, Qwen3: huggingface.co/Qwen/Qwen3-4B, "Thinking Mode"). The last
      `</think>` counts, as on that page; the opening tag may be missing, because chat templates put it into the prompt.
      `thinking` says that one did: nothing in a thought that was then cut off tells it from an answer.
    - `analysis...assistantfinalanswer` (gpt-oss, github.com/openai/harmony, "Message format"): the message of channel
      `analysis`, then the role and channel of the next ones, glued together where their delimiters stood.
    """
    if text.startswith(_ANALYSIS):
        _, begun, answer = text.rpartition(_FINAL)
        if begun:
            return answer
        if _GLUED.match(text):
            return ""
    _, ended, answer = text.rpartition(_END_OF_THINKING)
    return "" if (thinking and not ended) or _THINKING.search(answer) else answer


def last_fence(text: str) -> str | None:
    """The body of the last complete fence tagged as Python or untagged; an empty body is no code."""
    lines = text.split("\n")
    opened: tuple[int, str] | None = None
    found: tuple[int, int] | None = None
    for number, line in enumerate(lines):
        tag = _fence(line)
        if tag is None:
            continue
        if opened is None or tag:
            opened = number + 1, tag
        elif _is_closing(line):
            first, language = opened
            opened = None
            if language in _PYTHON_TAGS and any(map(str.strip, lines[first:number])):
                found = first, number
    return "".join(line + "\n" for line in lines[found[0] : found[1]]) if found else None


def _fence(line: str) -> str | None:
    """The tag, in small letters, of a line that may open a fence, empty for none; None for any other line.

    By hand, because a pattern for the whole line takes quadratic time on a long line that is none.
    """
    line = line.lstrip(_BLANK)
    if not line.startswith(_TICKS) or "`" in line[len(_TICKS) :]:
        return None
    tag = _TAG.match(line[len(_TICKS) :].lstrip(_BLANK))
    return tag[0].lower() if tag else ""


def _is_closing(line: str) -> bool:
    return line.strip(_BLANK) == _TICKS


@dataclass
class _Effort:
    """How much more may be parsed for one answer: an error near the end of a long text is found again for each line that
    is cut off, which would be quadratic."""

    parses: int = _MAX_PARSES
    characters: int = _MAX_PARSED

    def is_left(self) -> bool:
        return self.parses > 0 and self.characters > 0

    def parse(self, source: str) -> tuple[ast.Module | None, int]:
        """`_parse`, at the price of what the parser reads before it stops."""
        tree, error_line = _parse(source)
        self.parses -= 1
        self.characters -= len(source) if tree else sum(map(len, source.split("\n")[:error_line])) + error_line
        return tree, error_line


def longest_parsable_span(text: str) -> str | None:
    """The longest run of whole lines, starting at a line without indent, that parses and is more than names and prose.

    Looks at the first 65,536 characters and bounds the parses (`_Effort`), so hostile text cannot stall the caller.
    """
    lines = text[:_MAX_SPAN_CHARACTERS].split("\n")
    best, start, effort = "", 0, _Effort()
    while start < len(lines) and effort.is_left():
        if not lines[start].strip() or lines[start][0] in " \t":
            start += 1
            continue
        stop = len(lines)
        while stop > start and effort.is_left():
            source = "\n".join(lines[start:stop])
            if len(source) <= len(best):
                break
            found, error_line = effort.parse(source)
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
    """Prompt + answer, cut after the last line with which it parses, if the answer adds a statement.

    Looks at the first 65,536 characters of the answer, with the same bound on the parses as `longest_parsable_span`.
    """
    lines = text[:_MAX_SPAN_CHARACTERS].split("\n")
    stop, first, effort = len(lines), prompt.count("\n"), _Effort()
    while effort.is_left():
        answer = "\n".join(lines[:stop])
        if not answer.strip():
            return None
        whole = prompt + answer
        tree, error_line = effort.parse(whole)
        if tree is not None:
            return whole.rstrip() + "\n"
        stop = min(error_line - 1 - first, stop - 1)
        if stop <= 0:
            return None
    return None
