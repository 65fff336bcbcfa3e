"""A result file and its sidecar: what was graded, with which isolation, bound together by digests."""

import hmac
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_json, sha256_file, sha256_json, write_json
from ssd_plugin.core.source_digest import code_digest
from ssd_plugin.core.tool_versions import tool_versions
from ssd_plugin.errors import DataError
from ssd_plugin.grading.grading_key import authentication
from ssd_plugin.tasks.schema import Result, read_results

SCHEMA = "ssd-score/1"
_AUTHENTICATION = "authentication"


@dataclass(frozen=True, kw_only=True)
class GradedRun:
    """The rows of a result file, in the samples' order, and its sidecar (`meta`, see `docs/threat-model.md`)."""

    rows: tuple[Result, ...]
    meta: Mapping[str, Any]


def sidecar(results: Path) -> Path:
    """Where the sidecar of a result file stands."""
    return results.with_name(results.name + ".meta.json")


def write_sidecar(results: Path, meta: Mapping[str, Any]) -> JsonObject:
    """Write a result file's sidecar so that this user's grader knows it again; returns what it wrote."""
    written = {**meta, _AUTHENTICATION: authentication(meta)}
    write_json(sidecar(results), written)
    return written


def is_own(meta: Mapping[str, Any]) -> bool:
    """Whether this user's grader wrote the sidecar: with the digest of its rows in it, no row can be another."""
    said = meta.get(_AUTHENTICATION)
    rest = {key: value for key, value in meta.items() if key != _AUTHENTICATION}
    return isinstance(said, str) and hmac.compare_digest(said.encode(), authentication(rest).encode())


def offer(source: Path, target: Path) -> None:
    """Copy a folder of graded samples (`results.jsonl` and what it was graded from) to where another run looks for its own.

    The stage there takes them only if they were made of the very same things. What is not graded whole, or would stand where
    something is, is not copied.
    """
    if sidecar(source / layout.RESULTS_NAME).exists() and not target.exists():
        shutil.copytree(source, target)


def read_graded(results: Path, *, tasks: Path | None = None, samples: Path | None = None) -> GradedRun:
    """Read a result file whose sidecar holds: same bytes, all canaries passed, and the given tasks and samples.

    Raises:
        DataError: there is no sidecar or it does not match; grade the samples again.
    """
    meta = _checked_sidecar(results, tasks, samples)
    return GradedRun(rows=tuple(read_results(results)), meta=meta)


def grader_code() -> str:
    """Digest of the grader's code, to the last line that runs in the sandbox, and of the interpreter that runs programs."""
    return sha256_json([code_digest("ssd_plugin.grading.grader"), tool_versions(["numpy"])])


def is_graded(results: Path, *, tasks: Path, samples: Path) -> bool:
    """Whether `results` holds the grades of exactly these samples on exactly these tasks, given by this user's very grader."""
    try:
        meta = _checked_sidecar(results, tasks, samples)
        return bool(meta.get("code") == grader_code()) and is_own(meta)
    except DataError:
        return False


def _checked_sidecar(results: Path, tasks: Path | None, samples: Path | None) -> Mapping[str, Any]:
    place = sidecar(results)
    if not place.is_file():
        raise DataError(f"{results}: has no sidecar {place.name}; grade its samples again with ssd score")
    meta = read_json(place)
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        raise DataError(f"{place}: is not a sidecar of schema {SCHEMA}; grade the samples again with ssd score")
    canaries = meta.get("canaries")
    if not isinstance(canaries, dict) or not canaries.get("total") or canaries.get("passed") != canaries["total"]:
        raise DataError(f"{place}: its grading run did not pass all canaries; grade the samples again with ssd score")
    for name, path in (("results", results), ("tasks", tasks), ("samples", samples)):
        if path is not None and meta.get(f"{name}_sha256") != sha256_file(path):
            raise DataError(f"{place}: is not about this {name} file ({path}); grade the samples again with ssd score")
    return meta
