"""Copies of the generated programs that findings point at: text files, named so that nothing collects or imports them."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ssd_plugin.core.jsonl import naming_a_full_disk
from ssd_plugin.gating.verdict import Finding
from ssd_plugin.trust.evidence_files import PROGRAMS

ProgramKey = tuple[str, str, str]  # side, task id, sample id
_OURS = re.compile(r"[0-9a-f]{16}-[A-Za-z0-9_-]*\.py\.txt")


def key_of(finding: Finding) -> ProgramKey:
    """The program a finding is about."""
    return finding.side, finding.task_id, finding.sample_id


def program_path(key: ProgramKey) -> str:
    """Path of a program's copy relative to the evidence directory. Ids are hostile: only letters, digits, "_" and "-"
    of them survive, and a digest of the whole key keeps names apart. ".txt" keeps test runners and linters away.
    """
    digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
    side, *ids = (re.sub(r"[^A-Za-z0-9_]+", "-", part)[:40] for part in key)
    return f"{PROGRAMS}/{side or 'other'}/{digest[:16]}-{'-'.join(ids)}.py.txt"


def write_programs(out: Path, keys: Iterable[ProgramKey], programs: Mapping[ProgramKey, str]) -> dict[ProgramKey, str]:
    """Write each program under `out`, lines as they are; copies that an earlier run left are removed first.
    Returns the relative path of each key that has a program.

    Raises:
        ResourceError: the disk is full.
    """
    for stale in (out / PROGRAMS).glob("*/*.py.txt"):
        if _OURS.fullmatch(stale.name) and stale.is_file():
            stale.unlink()  # and not written over: it may be a hard link to something else
    written = {key: program_path(key) for key in dict.fromkeys(keys) if key in programs}
    for key, name in written.items():
        _write(out / name, programs[key].encode("utf-8", "backslashreplace"))
    return written


def _write(path: Path, content: bytes) -> None:
    # Not flushed one by one (there may be 25,000): a copy that a power cut tore no longer has the signed digest.
    with naming_a_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(content)
