"""Installs a third-party distribution into a directory of its own, as pip would for a user without a package index."""

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "plugin_package"


def install(scratch: Path, package: Path = PACKAGE) -> Path:
    """The directory to put on the path; built from a copy, since building writes into its source."""
    source, target = shutil.copytree(package, scratch / "source"), scratch / "target"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target
