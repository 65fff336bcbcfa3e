"""The run directory: one folder that holds all of a run, can be moved, and is written by one process at a time."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.files import open_input
from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.core.known_digests import known_sha256
from ssd_plugin.core.locks import LOCK, lock
from ssd_plugin.core.output_tree import refuse_planted
from ssd_plugin.errors import DataError, RunDirError


def digest_path(path: Path) -> str:
    """SHA-256 of a file, or of a directory's relative names and file digests.

    Raises:
        RunDirError: it is missing or cannot be read.
    """
    try:
        if path.is_file():
            return _digest_file(path)
        files = (
            sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts) if path.is_dir() else []
        )
        if not files:
            raise RunDirError(f"{path}: missing or empty")
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # a model's shards
            digests = list(pool.map(_digest_file, files))
    except DataError as error:
        raise RunDirError(str(error)) from error
    lines = [f"{digest}  {p.relative_to(path).as_posix()}\n" for digest, p in zip(digests, files, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest_file(path: Path) -> str:
    with open_input(path) as stream:
        try:
            return known_sha256(stream.fileno())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error


class RunDir:
    """Paths inside one run directory."""

    def __init__(self, root: Path) -> None:
        """`root` need not exist yet."""
        self.root = root

    def __truediv__(self, name: str) -> Path:
        """The path of a file of the run, by its name relative to the root."""
        return self.root / name

    @contextmanager
    def locked(self, patience: float = 3.0) -> Iterator[int]:
        """Hold the directory for this process and the children that inherit the yielded descriptor.

        `patience` seconds cover a predecessor that was just killed and whose children are still dying.

        Raises:
            RunDirError: another process holds it, or the directory cannot be made.
            DataError: as `output_tree.refuse_planted`.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = lock(self / LOCK, os.O_RDWR | os.O_CREAT, patience)
        except BlockingIOError:
            holder = (self / LOCK).read_text().strip() or "unknown"
            raise RunDirError(
                f"{self.root}: in use by another process (pid {holder}); wait for it or give another --run-dir"
            ) from None
        except OSError as error:
            raise RunDirError(f"{self.root}: cannot be used as a run directory ({error.strerror})") from error
        try:
            refuse_planted(self.root)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def bind(self, config: dict[str, object]) -> None:
        """Write `config.json`; a directory of another recipe is refused (changed settings of the same one are fine).

        Raises:
            RunDirError: the directory belongs to another recipe or its config cannot be read.
        """
        if (self / layout.CONFIG).exists():
            known = self.read_config()
            if known.get("recipe") != config["recipe"]:
                raise RunDirError(
                    f"{self.root}: belongs to recipe {known.get('recipe')!r}, not {config['recipe']!r}; give another --run-dir"
                )
        write_json(self / layout.CONFIG, config)

    def read_config(self) -> dict[str, object]:
        """The config that this directory was last run with.

        Raises:
            RunDirError: there is none, or it is corrupt.
        """
        if not (self / layout.CONFIG).exists():
            raise RunDirError(f"{self.root}: is no run directory; start one with: ssd run RECIPE --run-dir {self.root}")
        try:
            values = read_json(self / layout.CONFIG)
        except DataError as error:
            raise RunDirError(f"{error}: the run's settings; restore the file, or give another --run-dir") from error
        if not isinstance(values, dict):
            raise RunDirError(
                f"{self / layout.CONFIG}: corrupt; restore it, or run the recipe again with another --run-dir"
            )
        return values
