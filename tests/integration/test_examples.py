"""The examples run as their pages say: every `ssd` line of each README, in a copy of its folder."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2] / "examples"


def commands(page: Path) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("ssd ")]


def test_gate_lm_eval(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "gate_lm_eval", tmp_path / "example")
    page = folder / "README.md"
    assert len(page.read_text().splitlines()) <= 40  # a screen
    steps = commands(page)
    assert [step[1] for step in steps] == ["keys", "gate", "verify"]
    for step in steps:
        ran = subprocess.run(
            [str(Path(sys.executable).with_name("ssd")), *step[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    said = (folder / "verdict/summary.md").read_text()
    assert said.startswith("# GO")
    assert "graded elsewhere by lm-evaluation-harness" in said
