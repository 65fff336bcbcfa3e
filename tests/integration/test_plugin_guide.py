"""The plugin guide's own text, file by file, is a distribution that installs and a policy that lets its gate in."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from house_package import install

GUIDE = (Path(__file__).parents[2] / "docs/plugin-guide.md").read_text()


def block(heading: str, language: str) -> str:
    """The first code block of a language under a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
    return str(re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0])


def test_the_guide_s_text_installs_and_its_policy_names_the_gate(tmp_path: Path) -> None:
    package = tmp_path / "house-gates"
    (package / "house_gates").mkdir(parents=True)
    (package / "pyproject.toml").write_text(block("The distribution", "toml"))
    (package / "house_gates/__init__.py").touch()
    (package / "house_gates/docstrings.py").write_text(block("The module", "python"))
    (tmp_path / "policy.toml").write_text(block("Who lets it in", "toml"))
    installed = install(tmp_path, package)
    lines = [line.partition("#")[0].split() for line in block("Install and run it", "sh").splitlines()]
    assert lines[0] == ["pip", "install", "./house-gates"]
    assert sorted(path.name for path in package.iterdir()) == ["house_gates", "pyproject.toml"]

    def ssd(words: list[str], *more: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("ssd")), *words[1:], *more]
        environment = os.environ | {"PYTHONPATH": str(installed)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    listed: Any = json.loads(ssd(lines[1], "--json").stdout)
    assert listed["gates"]["house_docstrings"]["plugin"]["distribution"] == "house-gates"
    checked = ssd(lines[2])
    assert (checked.returncode, checked.stdout) == (0, "policy.toml: ok\n"), checked.stderr
