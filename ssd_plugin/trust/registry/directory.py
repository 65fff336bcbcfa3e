"""A registry in a local directory. The alias is a symbolic link, moved by one rename: it is whole at every moment.

REGISTRY/NAME/champion -> versions/000002/model     what serving loads
REGISTRY/NAME/versions/000002/{model,evidence}/     read-only copies, release.json; `served` once it was champion
REGISTRY/NAME/history.jsonl                         every move of the alias, written before the move ("moved": false until then)

What ever was champion is never deleted: only versions that are neither marked `served` nor in the history are cleared away.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ssd_plugin.config.parsing import build
from ssd_plugin.core.digests import copy_model, sync_directory
from ssd_plugin.core.jsonl import JsonObject, naming_a_full_disk, read_json, read_jsonl, write_json, write_jsonl
from ssd_plugin.core.locks import LOCK, lock
from ssd_plugin.errors import ConfigError, DataError, RegistryError
from ssd_plugin.trust.registry.protocol import ALIAS, Release

_HISTORY = "history.jsonl"
_RELEASE = "release.json"
_SERVED = "served"
_STAGING = ".staging"
_VERSION = re.compile(r"\d{6,}")


class DirectoryRegistry:
    """One model of a directory registry. Readers need no lock: the alias and the versions it names never change in place."""

    def __init__(self, root: Path, name: str) -> None:
        """`root` and the model's folder need not exist yet."""
        self._home = root / name
        self._versions = self._home / "versions"
        self._alias = self._home / ALIAS

    @property
    def where(self) -> str:
        """The model's folder."""
        return str(self._home)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the model's folder by an advisory lock that ends with the process, then clear what a killed one left."""
        with _failures(self._home):
            self._versions.mkdir(parents=True, exist_ok=True)
            if self._versions.is_symlink():
                raise RegistryError(f"{self._versions}: is a link; replace it by the folder that it leads to")
            descriptor = self._take()
        try:
            with _failures(self._home):
                self._recover()
            yield
        finally:
            os.close(descriptor)

    def _take(self) -> int:
        try:
            return lock(self._home / LOCK, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            raise RegistryError(f"{self.where}: another promotion is running; try again when it is done") from None

    def champion(self) -> Release | None:
        """See `Registry.champion`."""
        with _failures(self._home):
            if not os.path.lexists(self._alias):
                self._require_never_moved()
                return None
            if not self._alias.is_symlink():
                raise RegistryError(
                    f"{self._alias}: is not a symbolic link (was the registry copied without its links?); "
                    "replace it by a link to versions/NUMBER/model"
                )
            target = self._alias.readlink()
        if len(target.parts) != 3 or target.parts[0] != "versions" or target.parts[2] != "model":
            raise RegistryError(
                f"{self._alias}: points at {target}, which this registry did not write; repair it by hand"
            )
        return self._release(target.parts[1])

    def releases(self) -> list[Release]:
        """See `Registry.releases`."""
        return [self._release(version) for version in dict.fromkeys(row["version"] for row in self._history())]

    def add(self, model: Path, evidence: Mapping[str, Path], release: Release) -> Release:
        """See `Registry.add`. The copy is complete and on disk before it gets its version's name."""
        with _failures(self._home):
            version = f"{max(map(int, self._numbered()), default=0) + 1:06d}"
            added = replace(release, version=version)
            staging = self._versions / _STAGING
            try:
                copy_model(model, staging / "model")
                for name, source in evidence.items():
                    target = staging / "evidence" / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
                write_json(staging / _RELEASE, asdict(added))
                _freeze(staging)
                staging.rename(self._versions / version)
                sync_directory(self._versions)
            except BaseException:
                _remove(staging)
                raise
        return added

    @contextmanager
    def contents(self, release: Release) -> Iterator[tuple[Path, Path]]:
        """See `Registry.contents`: the registry's own files, not copies."""
        folder = self._versions / release.version
        yield folder / "model", folder / "evidence"

    def discard(self, release: Release) -> None:
        """See `Registry.discard`."""
        with _failures(self._home):
            _remove(self._versions / release.version)

    def point(self, release: Release, action: str) -> None:
        """See `Registry.point`. The history line comes first: a move that is not in the history cannot happen."""
        with _failures(self._home):
            row = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, **asdict(release)}
            earlier = self._history()
            self._write_history([*earlier, row | {"moved": False}])
            new = self._home / f".{ALIAS}.new"
            new.unlink(missing_ok=True)
            new.symlink_to(Path("versions", release.version, "model"))
            new.replace(self._alias)
            sync_directory(self._home)
            self._mark(release.version)
            self._write_history([*earlier, row | {"moved": True}])

    def _recover(self) -> None:
        """Settle a last history line whose move was cut off, and drop versions that never became champion."""
        champion = self.champion()
        self._require_history()
        history = self._history()
        if history and not _moved(history[-1]):
            cut_off = history.pop()
            if champion and champion.version == cut_off["version"]:
                history.append(cut_off | {"moved": True})
            self._write_history(history)
        known = {row["version"] for row in history}
        if champion and champion.version not in known:
            raise RegistryError(f"{self._home / _HISTORY}: does not know version {champion.version}; restore it")
        for version in known:
            self._mark(version)
        _remove(self._versions / _STAGING)
        for version in self._numbered() - known:
            if not (self._versions / version / _SERVED).exists():
                _remove(self._versions / version)

    def _require_never_moved(self) -> None:
        """Refuse a registry that lost its alias: taken for an empty one, it would lose the versions too."""
        served = [row["version"] for row in self._history() if _moved(row)]
        if served:
            raise RegistryError(
                f"{self._alias}: is missing, but version {served[-1]} was champion last; "
                f"restore it as a link to versions/{served[-1]}/model"
            )

    def _require_history(self) -> None:
        """The history is there from the first command on, so that a lost one is told from one without lines."""
        if (self._home / _HISTORY).exists():
            return
        if found := sorted(self._numbered()):
            raise RegistryError(
                f"{self._home / _HISTORY}: is missing, but there is version {found[-1]}; restore it, or create an empty "
                "file if no version was ever champion"
            )
        self._write_history([])

    def _write_history(self, rows: list[JsonObject]) -> None:
        write_jsonl(self._home / _HISTORY, rows)
        sync_directory(self._home)

    def _mark(self, version: str) -> None:
        folder = self._versions / version
        if folder.is_dir() and not os.path.lexists(folder / _SERVED):
            (folder / _SERVED).touch(mode=0o444, exist_ok=False)  # not through a link
            sync_directory(folder)

    def _numbered(self) -> set[str]:
        return {path.name for path in self._versions.iterdir() if _VERSION.fullmatch(path.name)}

    def _history(self) -> list[JsonObject]:
        path = self._home / _HISTORY
        if not path.exists():
            return []
        try:
            rows = [row for _, row in read_jsonl(path)]
        except DataError as error:
            raise RegistryError(f"{error}; restore it") from error
        if not all(isinstance(row.get("version"), str) and row["version"].isdigit() for row in rows):
            raise RegistryError(f"{path}: has a line without a version; restore it")
        return rows

    def _release(self, version: str) -> Release:
        path = self._versions / version / _RELEASE
        try:
            value: Any = read_json(path)
            return build(Release, value, "")
        except (DataError, ConfigError) as error:
            raise RegistryError(f"{path}: not a readable release ({error})") from error


def _moved(row: JsonObject) -> bool:
    """Whether the alias went where this line says. Lines of before this was noted have no word of it: taken for moved, since
    that deletes nothing."""
    return row.get("moved") is not False


def _freeze(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            sync_directory(path)
        else:
            path.chmod(0o444)


def _remove(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _failures(home: Path) -> Iterator[None]:
    """The operating system's failures as the registry's."""
    try:
        with naming_a_full_disk(home):
            yield
    except OSError as error:
        raise RegistryError(f"{error.filename or home}: {error.strerror}") from error
