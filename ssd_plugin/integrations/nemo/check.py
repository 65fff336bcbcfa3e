"""Is the plugin really inside the `nemo` command? NeMo-Run prints a line and goes on when a plugin fails to load."""

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import dataclass

from packaging.version import Version

from ssd_plugin.errors import DependencyError

INSTALL = "pip install 'nemo-run>=0.10' 'leptonai<0.47'"
OLDEST = Version(
    "0.4.0"
)  # that the plugin works with; before 0.10 it wants a cryptography that excludes ours, so pip refuses
NEWEST_TESTED = Version("0.11.1")
PATIENCE = 300  # seconds; nemo-toolkit 2.x takes half a minute to import


@dataclass(frozen=True, kw_only=True)
class NemoStatus:
    """`loaded`: `nemo llm finetune` knows every recipe. `detail`: the versions, or what is wrong and what to do."""

    installed: bool
    loaded: bool
    detail: str


def check_nemo(python: str = sys.executable) -> NemoStatus:
    """Load the plugin as the `nemo` command of that interpreter does, in a process of its own."""
    try:
        done = subprocess.run(  # noqa: S603 - our own module, by the interpreter that the user named
            [python, "-P", "-m", "ssd_plugin.integrations.nemo.check"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return NemoStatus(**json.loads(done.stdout.splitlines()[-1]))  # frameworks print lines of their own before it
    except (OSError, subprocess.TimeoutExpired) as error:
        return NemoStatus(installed=False, loaded=False, detail=f"{python} cannot be asked: {error}")
    except (ValueError, TypeError, IndexError):
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        return NemoStatus(installed=True, loaded=False, detail=f"the plugin does not load: {reason}")


def require_nemo() -> None:
    """Refuse to go on without NeMo-Run in this interpreter.

    Raises:
        DependencyError: it is missing or too old.
    """
    status = _inspect()
    if not status.loaded:
        raise DependencyError(status.detail)


def _inspect() -> NemoStatus:
    try:
        version = Version(importlib.metadata.version("nemo-run"))
    except importlib.metadata.PackageNotFoundError:
        return NemoStatus(installed=False, loaded=False, detail=f"nemo-run is not installed: {INSTALL}")
    if version < OLDEST:
        detail = f"nemo-run {version} is too old, {OLDEST} to {NEWEST_TESTED} work: {INSTALL}"
        return NemoStatus(installed=True, loaded=False, detail=detail)
    entries = importlib.metadata.entry_points(group="nemo_run.cli")
    if not any(entry.value == "ssd_plugin.integrations.nemo.command" for entry in entries):
        detail = "ssd-plugin's entry point is not registered: install the package again, from its clone or wheel"
        return NemoStatus(installed=True, loaded=False, detail=detail)
    return _load(version)


def _load(version: Version) -> NemoStatus:
    try:
        from ssd_plugin import recipes
        from ssd_plugin.integrations.nemo import command
    except Exception as error:  # noqa: BLE001 - whatever NeMo-Run would have swallowed is what is wanted here
        detail = f"nemo-run {version}: the plugin does not load ({type(error).__name__}: {error}); try: {INSTALL}"
        return NemoStatus(installed=True, loaded=False, detail=detail)
    missing = sorted(set(recipes.names()) - command.known_recipes())
    if missing:
        return NemoStatus(
            installed=True, loaded=False, detail=f"nemo-run {version}: not registered: {', '.join(missing)}"
        )
    owner = "ssd-plugin" if command.TOOLKIT_FINETUNE is None else "nemo-toolkit"
    newer = f" (newer than {NEWEST_TESTED}, the newest tested)" if version > NEWEST_TESTED else ""
    return NemoStatus(
        installed=True, loaded=True, detail=f"nemo-run {version}{newer}; `nemo llm finetune` is {owner}'s"
    )


if __name__ == "__main__":
    status = _inspect()
    print("\n" + json.dumps(vars(status)))
