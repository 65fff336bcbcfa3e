"""`manifest.json`: what each stage consumed and produced, by digest, so that unchanged work is never done twice."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import read_json, sha256_json, write_json
from ssd_plugin.errors import DataError, RunDirError

SCHEMA = "ssd-manifest/1"


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One finished stage. `inputs` and `outputs`: SHA-256 by name relative to the run directory; `facts`: the stage's
    own figures, for the report; `peak_memory_mib`: of its process; `spent`: its seconds by kind (`core/stage_timing.py`)."""

    settings: Any
    code: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    external: Mapping[str, str]
    tools: Mapping[str, str]
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    spent: Mapping[str, float] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Digest of all that the stage's result depends on."""
        return fingerprint(self.settings, self.code, self.inputs, self.external, self.tools)


def fingerprint(
    settings: Any, code: str, inputs: Mapping[str, str], external: Mapping[str, str], tools: Mapping[str, str]
) -> str:
    """Digest of a stage's settings, code, input files, outside files and tool versions: equal means nothing to do."""
    return sha256_json([settings, code, dict(inputs), dict(external), dict(tools)])


def load(path: Path) -> dict[str, StageRecord]:
    """The records by stage; empty when the file is not there yet.

    Raises:
        RunDirError: the file is corrupt or of another schema.
    """
    if not path.exists():
        return {}
    try:
        document = read_json(path)
        if document["schema"] != SCHEMA:
            raise RunDirError(
                f"{path}: schema {document['schema']!r}, this version reads {SCHEMA}; use another --run-dir"
            )
        return {name: StageRecord(**record) for name, record in document["stages"].items()}
    except (DataError, KeyError, TypeError, AttributeError) as error:
        raise RunDirError(f"{path}: corrupt ({error}); restore it, or delete it to redo every stage") from error


def save(path: Path, records: Mapping[str, StageRecord]) -> None:
    """Write the records atomically; `load(path) == records` afterwards.

    Raises:
        ResourceError: no space left.
    """
    write_json(path, {"schema": SCHEMA, "stages": {name: asdict(record) for name, record in records.items()}})
