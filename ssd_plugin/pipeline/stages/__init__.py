"""The stages of the pipeline, one file each; every one reads and writes named files of a run directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What a stage did: one line for the person who watches, and its figures for the manifest and the report."""

    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def stage_module(name: str) -> str:
    """The module of a stage, by name: the process that runs the stage imports it. The report's is the report's own, which reads
    what the pipeline wrote and therefore stands above it."""
    return "ssd_plugin.report.stage" if name == "report" else f"ssd_plugin.pipeline.stages.{name}"
