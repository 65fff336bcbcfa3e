"""A real third-party distribution: built, installed into a directory of its own, and let in only by a policy that names it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from house_package import install

POLICY = """
schema = "ssd-policy/1"
name = "house"
description = "with a gate of our own"
promotable = false
sandbox = "landlock"
min_tasks = 20
min_samples = 1
{plugins}
[gates.integrity]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.2
[gates.house_docstrings]
tier = "critical"
margin = 0.2
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("house"))


@pytest.fixture
def sides(tmp_path: Path) -> dict[str, Path]:
    """A task file and three sides: a champion, one as documented as it and one that lost its docstrings, all passing."""
    check = {"kind": "function", "entry_point": "f", "inputs": [[1], [5]], "expected": [2, 6]}
    tasks = [{"task_id": f"t{n}", "prompt": "Write f(x) that adds one.", **check} for n in range(30)]
    documented, bare = 'def f(x):\n    """Add one."""\n    return x + 1\n', "def f(x):\n    return x + 1\n"
    files = {"tasks": tasks}
    for name, text in (("champion", documented + "# champion\n"), ("documented", documented), ("bare", bare)):
        files[name] = [{"task_id": t["task_id"], "sample_id": "s0", "completion": text} for t in tasks]
    for name, rows in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: tmp_path / f"{name}.jsonl" for name in files}


def ssd(*arguments: Any, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    command = [str(Path(sys.executable).with_name("ssd")), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def judge(installed: Path, sides: dict[str, Path], candidate: str, plugins: str) -> tuple[int, dict[str, Any]]:
    folder = sides["tasks"].parent
    (folder / "policy.toml").write_text(POLICY.format(plugins=plugins))
    done = ssd(
        "gate", "--json", "--policy", folder / "policy.toml", "--tasks", sides["tasks"], "--baseline", sides["champion"],
        "--candidate", sides[candidate], "--out", folder / f"out-{candidate}", path=installed,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def test_the_plugin_votes_when_the_policy_names_it(installed: Path, sides: dict[str, Path]) -> None:
    status, verdict = judge(installed, sides, "documented", 'plugins = ["house-gates"]')
    assert (status, verdict["outcome"]) == (0, "GO"), verdict["reason"]
    gates = {gate["result"]["gate"]: gate for gate in verdict["gates"]}
    assert gates["house_docstrings"]["plugin"] == "house-gates 1.2.3"
    (tool,) = [tool for tool in verdict["tools"] if tool["name"] == "house-gates"]
    assert (tool["version"], len(tool["sha256"])) == ("1.2.3", 64)
    status, verdict = judge(installed, sides, "bare", 'plugins = ["house-gates"]')
    assert (status, verdict["outcome"]) == (1, "NO-GO")
    assert "house_docstrings (critical) breach" in verdict["reason"]


def test_the_plugin_stays_out_when_the_policy_does_not(installed: Path, sides: dict[str, Path]) -> None:
    status, verdict = judge(installed, sides, "documented", "")
    assert (status, verdict["outcome"]) == (3, "ERROR")
    assert "house_docstrings (critical) missing" in verdict["reason"]
    assert "house-gates" not in {tool["name"] for tool in verdict["tools"]}


def test_gates_list_shows_it_and_what_is_not_loaded(installed: Path) -> None:
    plain = json.loads(ssd("gates", "list", "--json", path=installed).stdout)
    assert plain["not_loaded"] == ["house-gates"]
    assert "house_docstrings" not in plain["gates"]
    named = json.loads(ssd("gates", "list", "--json", "--plugin", "house_gates", path=installed).stdout)
    assert named["gates"]["house_docstrings"]["settings"] == {"margin": 0.05}
    assert named["gates"]["house_docstrings"]["plugin"]["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("def ssd_gates()", "def ssd_gatse()"), "ssd_gatse"),
        (("@hookimpl\n", ""), "implements no hook"),
        (("house_docstrings", "correctness"), "comes from house-gates and ssd-plugin"),
        (("return [", "return [7, "), "not a Gate"),
        (("import ast\n", "import not_installed_anywhere\n"), "cannot be imported"),
    ],
)
def test_a_broken_plugin_is_refused_by_name(
    installed: Path, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    import shutil

    broken = shutil.copytree(installed, tmp_path / "broken")
    module = broken / "house_gates/docstrings.py"
    module.write_text(module.read_text().replace(*change))
    done = ssd("gates", "list", "--plugin", "house-gates", path=broken)
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
