"""docs/performance.md says what the committed results say, and nothing where there is no result."""

import json
import re
from pathlib import Path

import pytest
from summary import COMMANDS, PAGE, PARTS, RESULTS, page, rows_of

HERE = Path(__file__).parents[2] / "benchmarks"


def test_the_page_is_made_from_the_committed_results() -> None:
    assert PAGE.read_text() == page(RESULTS), "run: python benchmarks/summary.py"


def test_every_benchmark_stands_on_it() -> None:
    scripts = (
        {path.name for path in HERE.glob("[a-z]*.py")}
        - {
            "summary.py",
            "policies.py",
            "published.py",
            "reward_cheats.py",
            "losses.py",
            "digests.py",
            "difficulty.py",
            "screenshots.py",
        }
    )  # no ratios to a peer: chances, agreement, what cheats earn, memory, our own before and after, tasks' pass rates, pictures
    assert len(scripts) > 6
    assert scripts == {command.split()[0] for command, _ in COMMANDS.values()}


@pytest.mark.parametrize("name", PARTS)
def test_without_a_result_there_is_no_ratio(name: str, tmp_path: Path) -> None:
    assert rows_of(name, tmp_path)[0] == [(name.replace("_", " "), "", "not measured")]
    (tmp_path / f"{name}.json").write_text(json.dumps({"machine": "m", "an older": "version"}))
    assert rows_of(name, tmp_path)[0][0][2] == "not measured"


def test_ratios_are_ours_over_the_peers(tmp_path: Path) -> None:
    def row(tokens: int, peak: float) -> dict[str, float]:
        return {"tokens": tokens, "cpu_s": 10.0, "wall_s": 5.0, "peak_gb": peak}

    found = {"embedded engine": [row(300, 1.0)], "slow": [row(100, 2.0)], "broken": [{"failed": "ValueError: no"}]}
    result = {"machine": "m", "options": {"samples": 5, "temperature": 0.2, "dtype": "float32"}, "rounds": found}
    (tmp_path / "sampling.json").write_text(json.dumps(result))
    (what, name, ratio), (_, _, failed) = rows_of("sampling", tmp_path)[0]
    assert what.startswith("sampling at T=0.2, 5 of each prompt")
    assert "(30)" in what
    assert name == "slow"
    assert re.search(r"\*\*3\.00\*\*, peak memory 1\.00 GB, its 2\.00", ratio)
    assert failed == "it did not run"
