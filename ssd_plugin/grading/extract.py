"""Which part of a model's answer is the program. A few rules, the same for every sample, model and side; nothing is run, so
the choice never depends on what would pass (docs/decisions/0039).

0. What a reasoning model thinks aloud is not its answer (`final_answer`); an answer it never came to holds no program.
1. A completion that goes on from a code prompt, deeper than its margin, is the rest of the function.
2. Blocks of code (`python_blocks`) come before text outside of them, closed blocks before one that was cut off, and of
   several that define what is asked for the last one counts: a correction comes after what it corrects.
   Asked for is `entry_point`, or, where none is named, a program that reads its input.
3. Where no block holds it: whole lines outside of blocks that parse and define it; then a block, or a whole answer, that
   is the rest of the function; then the last block that parses; then the longest run of lines that does something.
4. Names that the program needs and another block defines are taken from there: definitions only.
5. A program that defines `entry_point` itself gets the prompt's imports and helpers put before it, when the prompt is code;
   what shows or checks the function once it stands is left out; imports from `__future__` come first.
"""

import ast
import functools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssd_plugin.grading.fences import Block, before_blocks, outside_blocks, python_blocks
from ssd_plugin.grading.program_pieces import Piece, bound, does_something, is_idle, parse, without

_MAX_SPAN_CHARACTERS = 1 << 16
_MAX_PARSES = 200
_MAX_PARSED = 1 << 20  # characters, in all parses of one answer: a second or two
_THINKING = re.compile(r"^[ \t]*<think(?:ing)?>", re.MULTILINE)
_END_OF_THINKING = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_ANALYSIS, _FINAL = "analysis", "assistantfinal"
# A thought is glued to its channel's name; what begins with one of these is a plain answer (`analysis = 1`, `analysis: ...`).
_GLUED = re.compile(_ANALYSIS + r"[^\s_=:.,;()\[\]'-]")
# Lines with which code begins; prose that would parse ("Solution", "not sure") is none of them.
_CODE_BEGINS = re.compile(
    r"(?:def|class|import|from|async|if|for|while|with|try|return|assert|global|raise|match)\b|try:|@\w|#|[\"']|[rRbBfF]['\"]"
    r"|[\w.]+\(|[\w.,\[\]()*: |\"']+?[ \t]*[-+*/%@&|^]?="
)


def build_program(completion: str, *, prompt: str = "", entry_point: str = "", thinking: bool = False) -> str | None:
    """The program to run for a completion, or None when it holds no code.

    `entry_point`: what is asked for, empty where it is a whole program. `prompt` matters only where it is the beginning of
    the program (HumanEval's form); `thinking`: see `final_answer`.
    """
    text = final_answer(completion.replace("\r\n", "\n").lstrip("\ufeff"), thinking)
    head = _preamble(prompt, entry_point)
    program = _whole(text, head, prompt, entry_point)
    if program is None or not entry_point:
        return program
    kept = Piece(program).without_examples(entry_point.partition(".")[0])
    return _future_first(kept) if kept.strip() else None


def _whole(text: str, head: str | None, prompt: str, entry_point: str) -> str | None:
    """The program with all that it takes from the prompt, and still with its examples."""
    if head is not None and (continued := _goes_on(text, prompt, entry_point)):
        return continued
    blocks = python_blocks(text)
    names = _asked_for(entry_point)
    found = _defining(blocks, names) if names else _reading(blocks)
    if found is None and names:
        found = _last_defining([Piece(span) for span in _spans(outside_blocks(text))], names)
    if found is not None:
        return (head or "") + found
    if head is not None and (rest := _rest(text, blocks, prompt, entry_point)):
        return rest
    return _fallback(text, blocks)


def _asked_for(entry_point: str) -> list[str]:
    """The names under which the program may stand: for `Solution.name`, LiveCodeBench's form, the class and then the function."""
    return [name for name in entry_point.split(".", 1) if name]


def _pieces(blocks: Sequence[Block], *, closed: bool) -> list[Piece]:
    """The closed blocks, or the runs of lines in one that was cut off, that parse."""
    if closed:
        return [Piece(block.code) for block in blocks if block.closed]
    return [Piece(span) for block in blocks if not block.closed for span in _spans(block.code)]


def _defining(blocks: Sequence[Block], names: Sequence[str]) -> str | None:
    closed = _pieces(blocks, closed=True)
    return _last_defining(closed, names) or _last_defining([*closed, *_pieces(blocks, closed=False)], names)


def _last_defining(pieces: Sequence[Piece], names: Sequence[str]) -> str | None:
    """The last piece that defines the first of `names` that any defines, with the helpers it needs."""
    for name in names:
        for number in range(len(pieces) - 1, -1, -1):
            if pieces[number].defines(name):
                return _with_helpers(pieces, number)
    return None


def _reading(blocks: Sequence[Block]) -> str | None:
    """The last block that is a program; else the last that becomes one with its helpers."""
    pieces = _pieces(blocks, closed=True)
    for number in range(len(pieces) - 1, -1, -1):
        if pieces[number].is_program:
            return _with_helpers(pieces, number)
    for number in range(len(pieces) - 1, -1, -1):
        joined = _with_helpers(pieces, number)
        if joined != pieces[number].source and Piece(joined).is_program:
            return joined
    return None


def _with_helpers(pieces: Sequence[Piece], chosen: int) -> str:
    """A piece, and before it the definitions of other pieces that it needs: for each name those nearest before, or after, it."""
    order = [*range(chosen - 1, -1, -1), *range(chosen + 1, len(pieces))]
    place: dict[str, int] = {}
    for number in order:
        for name in pieces[number].binds:
            place.setdefault(name, number)
    taken: set[int] = set()
    waiting = list(pieces[chosen].needs)
    while waiting:
        number = place.get(waiting.pop(), chosen)
        if number != chosen and number not in taken:
            taken.add(number)
            waiting += pieces[number].needs
    return "".join(pieces[number].definitions() for number in sorted(taken)) + pieces[chosen].source


def _goes_on(text: str, prompt: str, entry_point: str) -> str | None:
    """The function that a completion finishes from where the prompt stops."""
    rest = before_blocks(text)
    first = next((line for line in rest.split("\n") if line.strip()), "")
    if first[:1] not in (" ", "\t") or re.search(
        rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}\b", rest, re.M
    ):
        return None
    return _continuation(prompt, rest, entry_point)


def _rest(text: str, blocks: Sequence[Block], prompt: str, entry_point: str) -> str | None:
    """The function, finished by a block that holds the rest of it, or by an answer without blocks."""
    for block in reversed(blocks):
        piece = Piece(block.code)
        may_be = block.indented or piece.tree is None or piece.returns
        if may_be and (finished := _continuation(prompt, block.code, entry_point)):
            return finished
    return None if blocks else _continuation(prompt, text, entry_point)


def _fallback(text: str, blocks: Sequence[Block]) -> str | None:
    """Code that is not what was asked for: it is graded all the same, and fails by itself."""
    closed = [block.code for block in blocks if block.closed]
    working = [code for code in closed if (tree := parse(code)[0]) and does_something(tree)]
    return next(reversed(working or closed), None) or longest_parsable_span(outside_blocks(text))


def _future_first(program: str) -> str:
    """The program with its imports from `__future__` at the top, where alone they may stand."""
    tree = parse(program)[0] if "__future__" in program else None
    found = [s for s in tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"] if tree else []
    if not found:
        return program
    return "".join(ast.unparse(line) + "\n" for line in found) + without(program, list(found))


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
    ended = _END_OF_THINKING.match(text)
    answer = text[ended.end() :] if ended else text
    return "" if (thinking and not ended) or _THINKING.search(answer) else answer


@dataclass
class _Effort:
    """How much more may be parsed for one answer: an error near the end of a long text is found again for each line that
    is cut off, which would be quadratic."""

    parses: int = _MAX_PARSES
    characters: int = _MAX_PARSED

    def is_left(self) -> bool:
        return self.parses > 0 and self.characters > 0

    def parse(self, source: str) -> tuple[ast.Module | None, int]:
        """`parse`, at the price of what the parser reads before it stops."""
        tree, error_line = parse(source)
        self.parses -= 1
        self.characters -= len(source) if tree else sum(map(len, source.split("\n")[:error_line])) + error_line
        return tree, error_line


def longest_parsable_span(text: str) -> str | None:
    """The longest run of whole lines that parses and is more than names and prose."""
    return max(_spans(text), key=len, default=None)


def _spans(text: str) -> list[str]:
    """The runs of whole lines that parse and do something, each as long as can be, words of prose left out of them.

    Looks at the first 65,536 characters and bounds the parses (`_Effort`), so hostile text cannot stall the caller.
    """
    return list(_runs(text[:_MAX_SPAN_CHARACTERS].split("\n"), _Effort()))


def _runs(lines: list[str], effort: _Effort) -> Iterator[str]:
    start = 0
    while start < len(lines) and effort.is_left():
        stop = start + 1
        if lines[start][:1] in (" ", "\t") and lines[start].strip():
            stop = next(
                (n for n in range(stop, len(lines)) if lines[n].strip() and lines[n][0] not in " \t"), len(lines)
            )
            inside = textwrap.dedent("\n".join(lines[start:stop])).split("\n")
            if inside[0][:1] not in (" ", "\t"):
                yield from _runs(inside, effort)
        elif _CODE_BEGINS.match(lines[start][:200]):
            source, stop = _run_from(lines, start, effort)
            if source:
                yield source
        start = max(stop, start + 1)


def _run_from(lines: list[str], start: int, effort: _Effort) -> tuple[str, int]:
    """The code that begins at a line, empty for none, and the number of the first line after what was read."""
    stop = len(lines)
    while stop > start and effort.is_left():
        source = "\n".join(lines[start:stop])
        found, error_line = effort.parse(source)
        if found is not None:
            return (Piece(source.rstrip() + "\n").without_idle() if does_something(found) else ""), stop
        stop = min(start + error_line - 1, stop - 1)
    return "", stop


@functools.lru_cache(maxsize=1024)
def _preamble(prompt: str, entry_point: str) -> str | None:
    """What stands before the last `def entry_point` of a prompt that is code; None when the prompt is not."""
    if not entry_point:
        return None
    found = list(re.finditer(rf"^def\s+{re.escape(entry_point)}\s*\(", prompt, re.MULTILINE))
    if not found:
        return None
    head = prompt[: found[-1].start()]
    return head if parse(head)[0] is not None else None


def _continuation(prompt: str, text: str, entry_point: str) -> str | None:
    """Prompt + the rest of its function. The margin of the rest may be lost, of all its lines or of the first one alone (as
    when it was stripped): of the forms that finish the function the one that keeps the most lines."""
    margin = _margin(prompt)
    stripped = text.lstrip("\n")
    forms = (text, textwrap.indent(stripped, margin), margin + stripped)
    effort = _Effort()
    finished = [whole for form in forms if (whole := _finished(prompt, form, entry_point, effort))]
    return max(finished, key=lambda whole: whole.count("\n"), default=None)


def _margin(prompt: str) -> str:
    """The white space before the last line of a prompt that is deeper than the function's first."""
    deep = [line for line in prompt.split("\n") if line[:1] in (" ", "\t") and line.strip()]
    return deep[-1][: len(deep[-1]) - len(deep[-1].lstrip())] if deep else "    "


def _finished(prompt: str, text: str, entry_point: str, effort: _Effort) -> str | None:
    """Prompt + answer, cut after the last line with which it parses, if that gives the function a body.

    Looks at the first 65,536 characters of the answer, with the same bound on the parses as `_spans`.
    """
    lines = text[:_MAX_SPAN_CHARACTERS].split("\n")
    stop, first = len(lines), prompt.count("\n")
    while stop > 0 and effort.is_left():
        whole = prompt + "\n".join(lines[:stop])
        tree, error_line = effort.parse(whole)
        if tree is not None:
            return Piece(whole.rstrip() + "\n").without_idle() if _has_body(tree, entry_point) else None
        stop = min(error_line - 1 - first, stop - 1)
    return None


def _has_body(tree: ast.Module, entry_point: str) -> bool:
    """Whether the last definition of the function does more than say what it is for."""
    last = next((line for line in reversed(tree.body) if entry_point in bound(line)), None)
    if last is None or not isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef):
        return last is not None
    return not all(map(is_idle, last.body))
