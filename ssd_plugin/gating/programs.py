"""Analyses of program texts, each done once per distinct text: both sides repeat themselves, and calibration resamples."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class ProgramMemo:
    """Remembers what a tool said about a program, by tool and text."""

    def __init__(self) -> None:
        """Starts empty."""
        self._known: dict[str, dict[str, Any]] = {}

    def once(self, what: str, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed the first time that `what` is asked for."""
        found: dict[str, T] = self._known.setdefault("once", {})
        if what not in found:
            found[what] = compute()
        return found[what]

    def lookup(self, tool: str, programs: Iterable[str], analyse: Callable[[list[str]], list[T]]) -> dict[str, T]:
        """What `analyse` says about each distinct non-empty program; it gets all the new ones in one call.

        `tool` must name everything that `analyse` depends on besides the text (its settings).
        """
        known: dict[str, T] = self._known.setdefault(tool, {})
        new = [program for program in dict.fromkeys(programs) if program.strip() and program not in known]
        if new:
            known.update(zip(new, analyse(new), strict=True))
        return known
