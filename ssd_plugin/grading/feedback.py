"""What a model may be told of its own program: bounded, printable, and nothing of a hidden test.

A hidden test's values are never quoted, and neither is anything that a program wrote while it could see one: a program may
put what it was given into a message, an exception's name or a result. Such a run gives the kind of failure, the name of a
built-in exception and a line number within the program, no more. What may be quoted comes from a run of its own in which
the program is given the task's public cases alone (`public_cases`).
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LONGEST_FIELD = 400
"""Characters of an input, an output, an expected value or a message; `Feedback.text` is a few of them."""


class FeedbackKind(StrEnum):
    """What went wrong."""

    EXCEPTION = "exception"
    WRONG_ANSWER = "wrong answer"
    HIDDEN = "wrong answer to a hidden test"
    OUTPUT = "more output than any right answer"
    TIMEOUT = "timeout"
    CRASH = "crash"
    SYNTAX = "syntax error"
    MISSING = "entry point missing"
    CUT_OFF = "cut off"
    NO_CODE = "no code"


@dataclass(frozen=True, kw_only=True)
class PublicCase:
    """A test that the model was shown: its input, what the program gave (empty: nothing), what is expected."""

    input: str
    output: str
    expected: str


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """Why a program is not right. `error`: the exception's type; `message`: what it says (empty where a hidden test could be in
    it); `line`: of the program, from 1, 0 if unknown; `case`: the public case that failed."""

    kind: FeedbackKind
    error: str = ""
    message: str = ""
    line: int = 0
    case: PublicCase | None = None

    def text(self) -> str:
        """A few lines for a reader or a prompt."""
        lines = [_SAID[self.kind]]
        if self.error or self.message or self.line:
            said = ": ".join(filter(None, [self.error, self.message]))
            lines.append(f"{said or 'It happened'}{f' (line {self.line} of the program)' if self.line else ''}")
        if self.case:
            lines += [f"Input:\n{self.case.input}", f"Expected:\n{self.case.expected}"]
            lines += [f"The program gave:\n{self.case.output}"] if self.case.output else []
        return "\n".join(lines)


_SAID = {
    FeedbackKind.EXCEPTION: "The program raised an exception.",
    FeedbackKind.WRONG_ANSWER: "The program gave a wrong answer.",
    FeedbackKind.HIDDEN: "The program gave a wrong answer to a hidden test.",
    FeedbackKind.OUTPUT: "The program gave far more output than any right answer has.",
    FeedbackKind.TIMEOUT: "The program used up its time.",
    FeedbackKind.CRASH: "The program ended before it had answered.",
    FeedbackKind.SYNTAX: "The program does not compile.",
    FeedbackKind.MISSING: "The program does not define what was asked for.",
    FeedbackKind.CUT_OFF: "The answer was cut off at the length limit before its program was complete.",
    FeedbackKind.NO_CODE: "The answer holds no code.",
}
_ERRORS = frozenset(
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
)


def of_error(
    kind: FeedbackKind, name: str, line: Mapping[str, Any], program: str, case: PublicCase | None = None, *, quote: bool
) -> Feedback:
    """From a line of a program's report, hostile as it is: `line[name]` is "Type: message"."""
    error, _, message = str(line[name]).partition(": ")
    if quote:
        return Feedback(
            kind=kind, error=shown(error, 80), message=shown(message), line=_line_in(line, program), case=case
        )
    if kind is FeedbackKind.EXCEPTION:
        return Feedback(kind=kind, error=error if error in _ERRORS else "", line=_line_in(line, program))
    return Feedback(kind=kind, line=_line_in(line, program))


def _line_in(line: Mapping[str, Any], program: str) -> int:
    number = line.get("line")
    return number if type(number) is int and 1 <= number <= program.count("\n") + 1 else 0


def shown(text: str, length: int = LONGEST_FIELD) -> str:
    """Text made printable, lines kept, the middle left out where it is too long."""
    if len(text) > length:
        half = (length - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def written(form: Any) -> str:
    """A value's JSON form as Python writes it, where that is plain; hostile forms are never made into values."""
    try:
        return shown(_python(form))
    except (RecursionError, ValueError, TypeError, KeyError):
        return "(a value that cannot be shown)"


def _python(form: Any) -> str:
    if isinstance(form, list | tuple):
        return f"[{', '.join(map(_python, form))}]"
    if not isinstance(form, dict):
        return repr(form)
    match form:
        case {"$tuple": list(items)}:
            return f"({', '.join(map(_python, items))}{',' if len(items) == 1 else ''})"
        case {"$set": list(items)}:
            return f"{{{', '.join(map(_python, items))}}}" if items else "set()"
        case {"$dict": list(pairs)}:
            return f"{{{', '.join(f'{_python(key)}: {_python(value)}' for key, value in pairs)}}}"
        case {"$literal": str(text)} | {"$float": str(text)} | {"$int": str(text)}:
            return text
        case {"$object": name}:
            return f"<{name}>"
    return f"{{{', '.join(f'{key!r}: {_python(value)}' for key, value in form.items())}}}"


def written_call(entry_point: str, arguments: Any) -> str:
    """A call with arguments in their JSON forms."""
    return shown(f"{entry_point.rpartition('.')[2]}({', '.join(written(form) for form in arguments)})")
