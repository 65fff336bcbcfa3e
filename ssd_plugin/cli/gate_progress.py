"""What `ssd gate` says while it is at work: the power on stdout, and on stderr a bar, or a line a gate."""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

import click

from ssd_plugin.core.progress import Advance, track
from ssd_plugin.core.text import visible
from ssd_plugin.gating.isolation import Answer
from ssd_plugin.gating.verdict import PowerRow
from ssd_plugin.report.gating import print_power


class GateProgress:
    """Hears of a gate run. `verbose`: the power as a table, and a line a gate; `quiet`: nothing on stdout."""

    def __init__(self, gates: int, *, verbose: bool, quiet: bool) -> None:
        self._gates, self._verbose, self._quiet = gates, verbose, quiet
        self._open = ExitStack()
        self._advance: Advance | None = None

    def __enter__(self) -> "GateProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def say_power(self, rows: Sequence[PowerRow]) -> None:
        """The power, before a gate looks at the candidate; then the bar, since grading has had its own until now."""
        if not self._quiet:
            print_power(rows, verbose=self._verbose)
        if not self._verbose:
            self._advance = self._open.enter_context(track("gates", self._gates))

    def say_gate(self, name: str, answer: Answer) -> None:
        """One gate is done."""
        if self._advance:
            self._advance(1, visible(name, 40))
        else:
            said = visible(answer.failure) or answer.results[0].status
            click.echo(f"{visible(name)}: {said} ({answer.seconds:.1f} s)", err=True)
