"""docs/ci.md: its first example is run as a reader would, line by line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

PAGE = (Path(__file__).parents[2] / "docs/ci.md").read_text()
(SECTION,) = re.findall(r"^## A verdict in a minute\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
(MAKE,) = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
GITHUB, GITLAB = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL))


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_both_services_run_the_same_two_lines() -> None:
    runs = [step["run"] for step in GITHUB["jobs"]["gate"]["steps"] if "run" in step]
    assert runs == GITLAB["first-verdict"]["script"]
    assert runs[0].startswith("pip install")
    assert runs[0].endswith('/ssd_plugin@COMMIT_SHA"'), "a full commit, no name of a package index"


def test_the_first_example_says_go_and_no_go(tmp_path: Path) -> None:
    made = bash(MAKE, tmp_path)
    assert made.returncode == 0, made.stderr
    line = GITLAB["first-verdict"]["script"][1]
    for name, status, outcome in (("good", 0, "GO"), ("worse", 1, "NO-GO")):
        done = bash(line.replace("good.jsonl", f"{name}.jsonl"), tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        verdict: Any = json.loads((tmp_path / "verdict/verdict.json").read_text())
        assert verdict["outcome"] == outcome
        assert f"{outcome} by policy smoke" in done.stdout
    assert "correctness" in done.stdout
