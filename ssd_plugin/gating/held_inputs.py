"""Holds the files that a gate run judges as they were when they were digested: gates read private copies.

Whoever can write where the files are may exchange them while gates look and put them back; see `held_model.py` for the model.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.core.digests import copy_stream
from ssd_plugin.core.files import open_input
from ssd_plugin.core.jsonl import naming_a_full_disk, sha256_file
from ssd_plugin.errors import GateError, SsdError
from ssd_plugin.gating.verdict import Subject


@dataclass(frozen=True, kw_only=True)
class _Copy:
    source: Path
    sha256: str
    size: int


class HeldInputs:
    """Copies below the new `directory`. The verdict names their sources, relative to `out`."""

    def __init__(self, directory: Path, out: Path) -> None:
        self.out = out
        self._directory = directory
        self._copies: dict[Path, _Copy] = {}
        self._judged: dict[str, list[_Copy]] = {}

    def copy(self, source: Path, beside: Path | None = None) -> Path:
        """A private copy under the same name, in the folder of the copy `beside` or in one of its own.

        Raises:
            DataError: it cannot be read, or is no regular file.
            ResourceError: the disk is full.
        """
        folder = beside.parent if beside else self._own_folder()
        return self._copy_to(source, folder / source.name)

    def copy_below(self, root: Path, sources: Sequence[Path]) -> tuple[Path, ...]:
        """Private copies of files below `root`, in one folder of their own, each at its place below it.

        Raises:
            DataError, ResourceError: as `copy`.
        """
        folder = self._own_folder()
        return tuple(self._copy_to(source, folder / source.relative_to(root)) for source in sources)

    def _own_folder(self) -> Path:
        return self._directory / str(len(self._copies))

    def _copy_to(self, source: Path, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_input(source) as stream, naming_a_full_disk(target):
            digest = copy_stream(stream, target)
        self._copies[target] = _Copy(source=source, sha256=digest, size=target.stat().st_size)
        return target

    def judge(self, role: str, copy: Path) -> None:
        """The verdict names this copy's source in this role."""
        self._judged.setdefault(role, []).append(self._copies[copy])

    def subjects(self) -> tuple[Subject, ...]:
        """What the verdict says was judged, with the digests of what the gates read."""
        return tuple(
            Subject(role=role, path=os.path.relpath(one.source, self.out), sha256=one.sha256, size=one.size)
            for role, copies in self._judged.items()
            for one in copies
        )

    def by_source(self, text: str) -> str:
        """The text with each copy's path replaced by its source's, which is the one that the user knows."""
        for target, one in self._copies.items():
            text = text.replace(str(target), str(one.source))
        return text

    @contextmanager
    def naming_sources(self) -> Iterator[None]:
        """Whatever is wrong inside the block is said of the user's own file."""
        try:
            yield
        except SsdError as error:
            error.args = (self.by_source(str(error)),)
            raise

    def require_untouched(self) -> None:
        """`ssd verify` finds what the verdict names only if it is still there.

        Raises:
            GateError: names the first file that is another one than before the gates ran.
        """
        for role, copies in self._judged.items():
            for one in copies:
                if not one.source.is_file() or sha256_file(one.source) != one.sha256:
                    raise GateError(
                        f"{role} {os.path.relpath(one.source, self.out)}: was changed while the gates ran; leave it alone "
                        "and run ssd gate again"
                    )
