"""Cheap digests of what a run reads from outside its directory, so that a changed file or model is noticed."""

import hashlib
from pathlib import Path

from ssd_plugin.core.files import open_input
from ssd_plugin.core.jsonl import sha256_file

WHOLE = 16 * 2**20  # bytes up to which a model's file is digested whole; of a larger one, its size and both ends
END = 2**20


def outside_file(reference: str) -> str:
    """SHA-256 of a local file; the reference itself when it names no file (a shipped name, a hub id)."""
    path = Path(reference)
    return sha256_file(path) if path.is_file() else reference


def outside_model(reference: str) -> dict[str, str]:
    """A digest by file of a local model directory or file; the reference itself for a hub id or a package."""
    path = Path(reference)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.is_file() else []
    return {str(file): _ends(file) for file in files} or {reference: reference}


def _ends(path: Path) -> str:
    size = path.stat().st_size
    if size <= WHOLE:
        return sha256_file(path)
    with open_input(path) as stream:
        start = stream.read(END)
        stream.seek(-END, 2)
        return hashlib.sha256(start + stream.read() + str(size).encode()).hexdigest()
