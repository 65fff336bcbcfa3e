"""The report says where each stage's time went, and what share was overhead."""

from pathlib import Path

from ssd_plugin.pipeline import manifest
from ssd_plugin.report.write import write_report


def record(seconds: float, **spent: float) -> manifest.StageRecord:
    return manifest.StageRecord(
        settings={},
        code="c",
        inputs={},
        outputs={},
        external={},
        tools={},
        summary="done",
        seconds=seconds,
        spent=spent,
    )


def test_stage_times_and_overhead_stand_in_both_pages(tmp_path: Path) -> None:
    stages = {"sample": record(60, model=48.25, loading=6), "evaluate": record(40, model=20, programs=11.75, loading=4)}
    manifest.save(tmp_path / "manifest.json", stages)
    document = write_report(tmp_path)
    assert document["overhead"] == 1 - 80 / 100
    for name in ("index.html", "summary.md"):
        page = (tmp_path / "report" / name).read_text()
        assert "Outside model compute and candidate programs: 20.0 % of the time." in page
        for seconds in ("48.2", "11.8", "5.8", "4.2"):  # model, programs, and what no kind accounts for
            assert seconds in page, (name, seconds)


def test_a_run_of_an_older_version_claims_no_overhead(tmp_path: Path) -> None:
    manifest.save(tmp_path / "manifest.json", {"sample": record(60)})
    assert write_report(tmp_path)["overhead"] is None
    assert "Outside model compute" not in (tmp_path / "report/index.html").read_text()
