"""The line's stages, one file each; every one reads and writes named files of a run directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What a stage did: one line for the person who watches, and its figures for the manifest and the report."""

    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
