"""The Python API: every example of its page runs, and every name it offers is there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from simple_tasks import simple_tasks

import ssd_plugin
from ssd_plugin import api
from ssd_plugin.trust.signing import new_keys

PAGE = (Path(__file__).parents[2] / "docs/python-api.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tasks, and the samples of two models that do not solve them."""
    tasks = simple_tasks()
    _write(tmp_path / "tasks.jsonl", tasks)
    for name, value in (("samples", 1), ("baseline", 2)):
        rows = [
            {
                "task_id": t["task_id"],
                "sample_id": "0",
                "completion": f"def {t['entry_point']}(x):\n    return {value}\n",
            }
            for t in tasks
        ]
        _write(tmp_path / f"{name}.jsonl", rows)
    new_keys(tmp_path / "keys")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_page_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(EXAMPLES) >= 5
    names: dict[str, object] = {}
    for example in EXAMPLES:
        exec(compile(example, "docs/python-api.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("60 {")
    assert "refused:" in printed
    assert (folder / "verdict/verdict.json").is_file()


def test_grading_prints_nothing_unless_asked(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    summary = ssd_plugin.score("tasks.jsonl", "samples.jsonl", "quiet.jsonl")
    assert summary.samples == sum(summary.counts.values()) == 60
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_an_attribute_of_the_package(name: str) -> None:
    assert getattr(ssd_plugin, name) is getattr(api, name)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="distil_everything"):
        _ = ssd_plugin.distil_everything


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys, ssd_plugin; print(sorted(m for m in sys.modules if m.startswith('ssd_plugin')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['ssd_plugin']"
