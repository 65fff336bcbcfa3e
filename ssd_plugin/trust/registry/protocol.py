"""What promotion needs of a registry. Both implementations run one conformance suite."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ALIAS = "champion"


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of a model. `model`: identity of its files (`digests.model_identity`); `replaces`: the champion at the
    time, empty for the first; `verdict`: SHA-256 of the verdict.json that let it in."""

    version: str
    model: str
    verdict: str
    replaces: str


class Registry(Protocol):
    """One named model in a registry. Everything but `champion` and `releases` is called inside `locked`.

    Raises (all methods):
        RegistryError: the registry cannot be reached, refused, or holds something unexpected.
        ResourceError: no space left; the alias is where it was.
    """

    @property
    def where(self) -> str:
        """The registry and the model's name, for people."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep other promoters out; clear what a killed one left. A second one is refused, never queued."""
        ...

    def champion(self) -> Release | None:
        """The version that the alias points at; None before the first promotion."""
        ...

    def releases(self) -> list[Release]:
        """Every version the alias ever pointed at, oldest first."""
        ...

    def add(self, model: Path, evidence: Mapping[str, Path], release: Release) -> Release:
        """Copy a model's files and its evidence (relative path -> file) in as a new version, without moving the alias.
        `release` says everything but the version, which is in the answer."""
        ...

    def contents(self, release: Release) -> AbstractContextManager[tuple[Path, Path]]:
        """Local directories with the files that the registry holds for a version: (model, evidence)."""
        ...

    def discard(self, release: Release) -> None:
        """Delete a version that never became champion."""
        ...

    def point(self, release: Release, action: str) -> None:
        """Move the alias in one step. `action`: "promote" or "rollback", for the history."""
        ...
