"""`ssd simulate`: what it prints, its JSON, its page."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ssd_plugin.cli.simulate import command


def test_json_holds_the_published_figures_and_the_whole_sweep() -> None:
    answer = CliRunner().invoke(command, ["--json"])
    assert answer.exit_code == 0
    document = json.loads(answer.output)
    assert [row["model"] for row in document["best"]] == ["teacher", "student"]
    assert [row["success"] for row in document["best"]] == pytest.approx([0.0832, 0.1377], abs=0.0002)
    assert len(document["sweep"]) == 42


def test_page_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    page = tmp_path / "toy.html"
    answer = CliRunner().invoke(command, ["--out", str(page)])
    assert answer.exit_code == 0
    assert "13.77%" in answer.output
    text = page.read_text()
    assert text.count("<svg") == 3
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
