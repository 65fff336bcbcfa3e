"""examples/gate_two_samples: it runs as it is, and so do the commands of its workflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples/gate_two_samples"
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(("words", "status", "outcome"), [([], 0, "GO"), (["worse.jsonl"], 1, "NO-GO")])
def test_it_runs_as_it_is(words: list[str], status: int, outcome: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "copy"))
    done = run(folder, "./gate.sh", *words)
    assert done.returncode == status, done.stdout + done.stderr
    assert f"{outcome} by policy smoke" in done.stdout


def test_the_workflows_commands_run(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "gate")
    workflow = yaml.safe_load((EXAMPLE / "workflow.yml").read_text())
    runs = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    install, gate, summary = runs
    assert install.endswith('/ssd_plugin@COMMIT_SHA"'), "a full commit, no name of a package index"
    done = run(tmp_path, "bash", "-ec", f"export GITHUB_STEP_SUMMARY=page.md\n{gate}\n{summary}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GO" in (tmp_path / "page.md").read_text()
