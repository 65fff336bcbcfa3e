"""The report of a run directory: complete, partial, corrupt and hostile ones; and in a real browser."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from finished_run import SIDES, build_run, verdict

from ssd_plugin.cli.report import command
from ssd_plugin.core.jsonl import write_json, write_jsonl
from ssd_plugin.errors import RunDirError, SsdError
from ssd_plugin.gating.verdict import Outcome, write_verdict
from ssd_plugin.report.write import LOSS_TERMS, write_report

SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = f"{SCRIPT}</pre></main><img src=x onerror=alert(1)>{{{{ 7*7 }}}}\u202e\ud800\x1b[31m"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of 40 tasks and one of 8, built once; tests work on copies."""
    root = tmp_path_factory.mktemp("built")
    return build_run(root / "whole"), build_run(root / "small", tasks=8, samples=2)


@pytest.fixture
def whole(built: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(built[0], tmp_path / "run"))


@pytest.fixture
def small(built: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(built[1], tmp_path / "run"))


def page_of(run: Path) -> str:
    write_report(run)
    return (run / "report/index.html").read_text(encoding="utf-8")


def test_a_finished_run_is_told_whole(whole: Path) -> None:
    run = whole
    document = write_report(run)
    page, markdown = (run / "report/index.html").read_text(), (run / "report/summary.md").read_text()
    assert document["missing"] == {}
    assert page.index("NO-GO") < page.index("pass@1 0.61 -&gt; 0.55") < page.index("<h2")
    for title in ("Gates, share of samples", "Gates, relative", "pass@k on the held-out split", "Training loss", "Filters",
                  "Decode sweep on the development split, top-k 20, top-p 0.8", "pass@1 by domain", "pass@1 by difficulty",
                  "Development pass@1: trained with no truncation, decoded with no truncation",
                  "pass@1 over T_eff, no truncation, no truncation", "The chain of generations",
                  "Seconds a stage"):  # fmt: skip
        assert page.count(f'aria-label="{title}"') == 1, title
    assert markdown.startswith("# NO-GO")
    assert "| correctness | critical | breach |" in markdown
    assert re.search(r"\| SSD, T 0\.9, top-k 20, top-p 0\.8 \| \d+\.\d \[", markdown)
    assert "SSD minus base at its best decode" in markdown
    assert re.search(r"\| domain \|.*\n\| --- \| --- \|\n(\| \w+ \| [+-]\d+\.\d \[.*\n){4}", markdown)
    assert re.search(r"\| difficulty \|.*\n\| --- \| --- \|\n(\| (easy|hard) \| .*\n){2}", markdown)
    assert "stopped, the trend turned" in page
    assert "corrected for having chosen the best of all settings, by +4.0" in page
    assert "was looked at for 2 cells" in page
    assert "Loss on 32 functions that people wrote" in page


def words_of(page: str) -> str:
    """What a reader sees of an HTML or Markdown page, charts' titles included: no tags, no entities, no table bars."""
    return re.sub(r"[\s|]+", " ", html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)))


def facts_of(document: dict[str, Any]) -> Iterator[str]:
    """Everything of the document that both pages must say, formatted here and not by a template."""

    def span(interval: dict[str, float], text: str, times: float = 1) -> str:
        estimate, low, high = (text % (times * interval[key]) for key in ("estimate", "low", "high"))
        return f"{estimate} [{low}, {high}]"

    verdict, evaluation, forks = document["verdict"], document["evaluation"], document["forks"]
    yield from (
        verdict["outcome"],
        verdict["reason"],
        verdict["policy"]["sha256"],
        verdict["created"],
        verdict["expires"],
    )
    yield from (subject["sha256"] for subject in verdict["subjects"])
    for row in verdict["gates"]:
        yield f"{row['result']['gate']} {row['tier']} {row['result']['status']} {row['result']['reason']}"
    for row in verdict["power"]:
        yield f"{row['measure']} {row['tasks']} {row['samples']} {row['margin']:g} {row['power']:.2f} {row['tasks_needed']}"
    for row in evaluation["sides"]:
        yield from (span(interval, "%.1f", 100) for interval in row["pass_at"].values())
        yield f"{100 * row['truncated']:.1f}"
    for row in evaluation["deltas"]:
        yield from (span(interval, "%+.1f", 100) for interval in row["pass_at"].values())
    for row in document["diversity"]["sides"]:
        yield f"{span(row['distinct'], '%.1f', 100)} {span(row['similarity'], '%.1f', 100)} {span(row['lines'], '%.1f')}"
    for flip in document["held_out"]["flips"]["tasks"]:
        yield f"{flip['task_id']} {flip['domain']} {100 * flip['baseline']:.0f} {100 * flip['candidate']:.0f}"
    yield f"p = {document['held_out']['flips']['p_value']:.3g}"
    yield from (
        f"T {document['selection'][side]['temperature']:g}, top-k 20, top-p 0.8" for side in ("base", "candidate")
    )
    gain = document["sweep"]["selection"]["gain"]
    yield from (f"{100 * gain[key]:+.1f}" for key in ("apparent", "corrected"))
    yield from (f"R² {fit['r_squared']:.2f}" for fit in document["sweep"]["fits"] if not fit["why_not"])
    yield from (fit["why_not"] for fit in document["sweep"]["fits"] if fit["why_not"])
    yield document["chain"]["stopped"]
    for row in document["chain"]["generations"][1:]:
        changes = f"{span(row['since_last'], '%+.1f', 100)} {span(row['since_origin'], '%+.1f', 100)} {row['folder']}"
        yield f"{span(row['held_out'], '%.1f', 100)} {changes}"
    for row in (forks["all"], *forks["kinds"].values(), *forks["classes"].values()):
        yield f"{row['tokens']} {row['entropy']['base']:.3f} to {row['entropy']['candidate']:.3f}"
        tail, kept = row["tail"], row["kept_entropy"]
        yield f"{kept['base']:.3f} to {kept['candidate']:.3f} {span(kept['change'], '%+.3f')}"
        yield f"{100 * tail['base']:.3f} to {100 * tail['candidate']:.3f} {span(tail['change'], '%+.3f', 100)}"
    for key, label in LOSS_TERMS:
        one = forks["all"][key]
        yield f"{label} {one['base']:.4f} {one['candidate']:.4f} {span(one['change'], '%+.4f')}"
    yield span(forks["ordinary"]["change"], "%+.4f")
    yield from (str(document["filter"][key]) for key in ("kept", "total"))
    for row in document["stages"]:
        spent = [*row["spent"].values(), row["seconds"] - sum(row["spent"].values())]
        times = " ".join(f"{seconds:.1f}" for seconds in (row["seconds"], *spent))
        yield f"{row['name']} {row['summary']} {times} {row['peak_memory_mib']:.0f}"
    yield f"{100 * document['overhead']:.1f} % of the time"
    yield from (document["run"]["recipe"], document["run"]["model"], document["promotion"]["why"])


def test_html_markdown_and_json_say_the_same(whole: Path) -> None:
    document = write_report(whole)
    facts = list(facts_of(document))
    assert len(facts) > 60
    for name in ("index.html", "summary.md"):
        words = words_of((whole / "report" / name).read_text())
        assert [fact for fact in facts if fact not in words] == [], name


def test_one_sample_a_task_leaves_diversity_not_measured_and_nothing_unreadable(tmp_path: Path) -> None:
    run = build_run(tmp_path, tasks=8, samples=1)
    document = write_report(run)
    assert document["missing"].keys() == {"diversity"}
    assert document["missing"]["diversity"].startswith("not measured: ")
    page, markdown = (run / "report/index.html").read_text(), (run / "report/summary.md").read_text()
    assert "unreadable" not in page + markdown
    assert "Not measured: diversity compares the samples of one task" in page
    assert "Not measured: diversity compares" in markdown


def test_the_margin_is_drawn_where_a_loss_lies_and_nowhere_else(small: Path) -> None:
    page = page_of(small)
    charts = re.findall(r'<svg [^>]*aria-label="Gates, ([^"]*)".*?</svg>', page, re.DOTALL)
    assert sorted(charts) == ["relative", "share of samples"]
    for name, sides in (("share of samples", "left"), ("relative", "right")):
        chart = re.search(rf'<svg [^>]*aria-label="Gates, {name}".*?</svg>', page, re.DOTALL)
        assert chart is not None
        zero = float(re.findall(r'x1="([\d.]+)"[^>]*class="zero"', chart[0])[0])
        margins = [float(x) for x in re.findall(r'x1="([\d.]+)"[^>]*class="margin"', chart[0])]
        assert margins
        assert all((x < zero) == (sides == "left") for x in margins), name


def test_flips_agree_with_a_count_by_hand(whole: Path) -> None:
    flips = write_report(whole)["held_out"]["flips"]
    passes: dict[str, dict[str, int]] = {side: {} for side in ("base_best", "candidate")}
    for side, counts in passes.items():
        for line in (whole / f"evaluate/{side}/results.jsonl").read_text().splitlines():
            row = json.loads(line)
            counts[row["task_id"]] = counts.get(row["task_id"], 0) + (row["status"] == "pass")
    before, after = passes["base_best"], passes["candidate"]
    assert flips["won"] == sum(after[task] > before[task] for task in before) > 0
    assert flips["lost"] == sum(after[task] < before[task] for task in before) > 0
    assert flips["won"] + flips["lost"] + flips["ties"] == 40


@pytest.mark.parametrize("gone", ["config.json", "gate", "evaluate/summary.json", "evaluate/candidate", "select", "filter",
                                  "train", "manifest.json", "promote", "prompts", "analysis/forks.json",
                                  "analysis/sweep.json", "chain.json"])  # fmt: skip
def test_each_part_is_optional(small: Path, gone: str) -> None:
    path = small / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    document = write_report(small)
    assert len({part for part, reason in document["missing"].items() if reason == "not run"} - {"diversity"}) == 1
    assert "not run" in (small / "report/index.html").read_text().lower()


@pytest.mark.parametrize("file", ["config.json", "gate/verdict.json", "evaluate/summary.json", "select/choice.json",
                                  "filter/report.json", "train/log.jsonl", "manifest.json", "promote/result.json",
                                  "analysis/forks.json", "analysis/sweep.json", "chain.json",
                                  "evaluate/base_best/results.jsonl", "prompts/heldout.jsonl"])  # fmt: skip
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema": 1}', '{"loss": NaN}'])
def test_a_corrupt_file_costs_its_own_part_only(small: Path, file: str, content: str) -> None:
    (small / file).write_text(content)
    document = write_report(small)
    broken = {part for part, reason in document["missing"].items() if reason.startswith("unreadable")}
    assert len(broken - {"diversity"}) == 1
    assert ("diversity" in broken) <= ("results" in file)
    assert "unreadable: " in (small / "report/index.html").read_text()
    assert str(small) not in json.dumps(document)


def test_a_summary_without_sides_is_unreadable(small: Path) -> None:
    write_json(small / "evaluate/summary.json", {"tasks": 8, "samples_per_task": 2, "sides": {}, "deltas": {}})
    missing = write_report(small)["missing"]["evaluation"]
    assert missing.startswith("unreadable: evaluate/summary.json: evaluation.sides = none is not allowed")


def test_a_verdict_that_contradicts_its_gates_is_not_shown(small: Path) -> None:
    forged = dataclasses.replace(verdict(), outcome=Outcome.GO).to_json()
    write_json(small / "gate/verdict.json", forged)
    page = page_of(small)
    assert "No verdict" in page
    assert "its gates amount to NO-GO" in page
    assert '<p class="word">GO</p>' not in page


def test_diversity_of_the_sides_is_told(whole: Path) -> None:
    diversity = write_report(whole)["diversity"]
    assert [side["side"] for side in diversity["sides"]] == list(SIDES)
    assert all(
        0.25 <= side["distinct"]["estimate"] <= 0.5 for side in diversity["sides"]
    )  # passing or failing: two programs
    assert "distinct syntax trees" in (whole / "report/index.html").read_text()


def test_an_empty_or_missing_directory_is_refused(tmp_path: Path) -> None:
    for run in (tmp_path / "none", tmp_path):
        with pytest.raises(RunDirError, match="start one with: ssd run"):
            write_report(run)
        answer = CliRunner().invoke(command, ["--run-dir", str(run)])
        assert isinstance(answer.exception, SsdError)
    assert list(tmp_path.iterdir()) == []


def test_report_is_the_same_wherever_the_directory_lies(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "moved")
    assert page_of(small) == page_of(tmp_path / "moved")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = build_run(tmp_path, tasks=8, samples=2, note=HOSTILE)
    write_verdict(run / "gate/verdict.json", verdict(reason=f"pass@1 fell | {SCRIPT}\n# GO"))
    page = page_of(run)
    assert "<script" not in page
    assert "<img" not in page
    assert "49" not in re.findall(r"onerror=alert\(1\).{0,20}", page)[0]
    assert not {"\u202e", "\x1b"} & set(page)
    assert "\\ud800" in page
    assert page.count("</main>") == 1
    markdown = (run / "report/summary.md").read_text()
    assert "<script" not in markdown
    assert [line for line in markdown.splitlines() if line.startswith("# ")] == ["# NO-GO"]


def test_json_answer_is_the_document(tmp_path: Path) -> None:
    run = build_run(tmp_path, tasks=8, samples=2, note=HOSTILE)
    answer = CliRunner().invoke(command, ["--run-dir", str(run), "--json"])
    document = json.loads(answer.output)
    assert (document["schema"], document["verdict"]["outcome"]) == ("ssd-report/2", "NO-GO")
    assert len(document["held_out"]["curves"]) == 3


def test_a_thousand_tasks_of_the_worst_programs_stay_under_three_megabytes(tmp_path: Path) -> None:
    """Every sample differs from every other in every word, and every character needs escaping."""
    run = build_run(tmp_path, tasks=1000, samples=2)
    for side, sign in (("base_best", '"'), ("candidate", "&")):
        path = run / f"evaluate/{side}/results.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        worst = f"<{sign}> " * 30 + "\n"
        write_jsonl(path, (row | {"program": worst * 60} for row in rows))
    page = page_of(run)
    assert page.count("<details><summary>Lost") == page.count("<details><summary>Won") == 10
    assert 1_000_000 < len(page.encode()) < 3_000_000


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
         "--disable-background-networking", "--disable-sync", "--enable-logging=stderr", "--v=0")  # fmt: skip


BROWSERS_OWN = re.compile(
    r"https?://[\w.-]+\.(google|googleapis|gstatic)\.com/"
)  # its start-up calls; no page causes them
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")


def open_in_browser(page: Path, scratch: Path) -> tuple[str, list[str], set[str]]:
    """The document after loading, the console's lines, and the addresses that were asked for."""
    log = scratch / "net.json"
    answer = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={log}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = [line for line in answer.stderr.splitlines() if ":CONSOLE:" in line]
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text()))
    return answer.stdout, console, {url for url in asked if not BROWSERS_OWN.match(url)}


@needs_chromium
def test_opens_in_a_browser_without_errors_requests_or_scripts(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", note=HOSTILE)
    page_of(run)
    document, console, asked = open_in_browser(run / "report/index.html", tmp_path)
    assert "<title>NO-GO: ssd_smollm2_135m</title>" in document
    assert console == []
    assert asked == set()


@needs_chromium
def test_the_browser_check_would_see_an_error_and_a_request(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<title>x</title><img src="http://127.0.0.1:9/leak.png"><script>missing()</script>')
    _, console, asked = open_in_browser(page, tmp_path)
    assert len(console) == 1
    assert asked == {"http://127.0.0.1:9/leak.png"}
