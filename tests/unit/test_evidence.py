"""The evidence files: each valid in its own format, whatever a model wrote into it."""

import dataclasses
import hashlib
import html
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import ssd_plugin.evidence
from ssd_plugin.core.text import markdown, visible
from ssd_plugin.errors import ResourceError, TrustError
from ssd_plugin.evidence.junit import junit_xml
from ssd_plugin.evidence.markdown import summary
from ssd_plugin.evidence.mlbom import mlbom
from ssd_plugin.evidence.programs import program_path
from ssd_plugin.evidence.sarif import MAX_RESULTS, MAX_RUNS, sarif_log, select
from ssd_plugin.evidence.write import write_evidence
from ssd_plugin.gating.verdict import (
    Finding,
    GateResult,
    GateStatus,
    JudgedGate,
    Outcome,
    Subject,
    Tier,
    Verdict,
    read_verdict,
)
from ssd_plugin.trust.statement import evidence_digests, statement

SARIF_SCHEMA = Path(__file__).parents[1] / "data/sarif-schema-2.1.0.json"
VERDICT_SCHEMA = Path(ssd_plugin.evidence.__path__[0]) / "schemas/verdict-2.json"
HOSTILE = (
    "\x1b[31m ]]> | ` <script>alert(1)</script> \u202e\ud800\x00\ufffe [x](http://evil.example) **b** @user\r\n# h {0}"
)
TEXT = st.one_of(st.just(HOSTILE), st.text(st.characters(exclude_categories=()), max_size=60))

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])

STATUSES = st.sampled_from(list(GateStatus))
FINDINGS = st.builds(
    Finding, tool=st.one_of(st.sampled_from(["ruff", "bandit"]), TEXT), rule=TEXT, message=TEXT,
    level=st.sampled_from(["error", "warning", "note"]),
    task_id=TEXT, sample_id=TEXT, side=st.sampled_from(["candidate", "baseline"]), line=st.integers(-1, 10**6),
)  # fmt: skip
RESULTS = st.builds(
    GateResult, gate=TEXT, status=STATUSES, reason=TEXT, findings=st.lists(FINDINGS, max_size=4).map(tuple)
)
GATES = st.builds(JudgedGate, result=RESULTS, tier=st.sampled_from(list(Tier)), required=st.booleans(), plugin=TEXT)

Make = Callable[..., Verdict]


@pytest.fixture(scope="session")
def sarif_schema() -> Any:
    raw = SARIF_SCHEMA.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"
    return jsonschema.Draft4Validator(json.loads(raw))


@pytest.fixture
def make(factory: Any) -> Make:
    verdict: Make = factory.verdict
    return verdict


def log_of(verdict: Verdict) -> dict[str, Any]:
    findings, left_out = select(verdict)
    return sarif_log(findings, left_out, {}, "")


def with_findings(make: Make, factory: Any, findings: list[Finding]) -> Verdict:
    result = GateResult(gate="g", status=GateStatus.PASS, reason="r", findings=tuple(findings))
    return make(factory.gate(result=result))


# Text


@given(text=TEXT)
def test_visible_text_is_one_printable_line(text: str) -> None:
    shown = visible(text, limit=10**6)
    assert shown.replace("\xa0", " ").isprintable() or all(char.isprintable() or char.isspace() for char in shown)
    assert "\n" not in shown
    assert "\x1b" not in shown
    shown.encode()


@given(text=TEXT)
def test_markdown_text_has_no_markup_and_loses_nothing(text: str) -> None:
    escaped = markdown(text, limit=10**6)
    assert html.unescape(escaped) == visible(text, limit=10**6)
    blocks = MARKDOWN.parse(escaped)
    assert [block.type for block in blocks] in ([], ["paragraph_open", "inline", "paragraph_close"])
    for block in blocks:
        assert {child.type for child in block.children or ()} <= {"text", "text_special"}


def test_figures_stay_readable_in_markdown() -> None:
    figures = "pass@1 0.071 -> 0.063 (-0.008 [-0.048, +0.032], margin 0.04), 3 tasks"
    assert markdown(figures) == figures.replace("@", "&#64;")


@pytest.mark.parametrize(
    "hostile",
    [
        "[1](http://evil)",
        "www.evil.com",
        "http://evil",
        "me@evil.com",
        "- [ ] x",
        "1. x",
        "# x",
        "> x",
        "a_b_ _c_",
        "#12",
        "    x",
        "<b>",
        "![x](y)",
        "a|b",
        "=",
        "--- ",
        "1) x",
        "7",
    ],
)
def test_hostile_text_is_no_markup(hostile: str) -> None:
    test_markdown_text_has_no_markup_and_loses_nothing.hypothesis.inner_test(hostile)  # type: ignore[attr-defined]
    assert not re.search(r"www\.|://|\]\(|@|#\d(?!\d*;)", re.sub(r"&#\d+;", "&", markdown(hostile)))


def test_long_text_is_cut_and_says_so() -> None:
    assert visible("x" * 50, limit=10) == "xxxxxxxxxx [40 more characters]"


# SARIF


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gates=st.lists(GATES, min_size=1, max_size=3))
def test_any_verdict_makes_valid_files(gates: list[JudgedGate], make: Make, sarif_schema: Any) -> None:
    verdict = make(*gates, subjects=(Subject(role="model", path=HOSTILE, sha256="c" * 64, size=1),))
    sarif_schema.validate(json.loads(json.dumps(log_of(verdict)).encode()))
    document = ET.fromstring(junit_xml(verdict))
    red = bool(document.findall(".//failure") + document.findall(".//error"))
    assert red == (verdict.outcome is not Outcome.GO)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(mlbom(verdict))) is None
    assert "<script" not in summary(verdict, 0, signed=True)
    assert json.loads(statement(verdict, {}))["predicate"]["result"] == "FAILED" or verdict.outcome is Outcome.GO


def test_limits_hold_and_what_is_left_out_is_said(make: Make, factory: Any, sarif_schema: Any) -> None:
    notes = [Finding(tool="ruff", rule="N", level="note", message="n", sample_id=str(i)) for i in range(MAX_RESULTS)]
    errors = [Finding(tool="bandit", rule="E", level="error", message="e", sample_id=str(i)) for i in range(7)]
    verdict = with_findings(make, factory, notes + errors)
    log = log_of(verdict)
    results = [result for run in log["runs"] for result in run["results"]]
    assert len(results) == MAX_RESULTS
    assert sum(result["level"] == "error" for result in results) == 7  # the gravest stay
    for run in log["runs"]:
        (note,) = run["invocations"][0]["toolExecutionNotifications"]
        assert note["message"]["text"].startswith("7 findings of the lowest levels were left out")
    assert "7 findings of the lowest levels did not fit" in summary(verdict, select(verdict)[1], signed=False)
    small = {**log, "runs": [{**run, "results": run["results"][:3]} for run in log["runs"]]}
    sarif_schema.validate(small)


def test_more_tools_than_runs_share_one_without_losing_a_finding(make: Make, factory: Any, sarif_schema: Any) -> None:
    findings = [Finding(tool=f"tool{i}", rule="R", level="error", message="m") for i in range(MAX_RUNS + 15)]
    log = log_of(with_findings(make, factory, findings))
    sarif_schema.validate(log)
    assert len(log["runs"]) == MAX_RUNS
    seen = {
        result["ruleId"] if run["tool"]["driver"]["name"] == "ssd" else f"{run['tool']['driver']['name']}/R"
        for run in log["runs"]
        for result in run["results"]
    }
    assert seen == {f"tool{i}/R" for i in range(MAX_RUNS + 15)}


def test_an_unknown_level_is_an_error_and_links_are_broken(make: Make, factory: Any) -> None:
    finding = Finding(tool="t", rule="r", level="harmless", message="[click](http://evil.example)")
    (result,) = log_of(with_findings(make, factory, [finding]))["runs"][1]["results"]
    assert result["level"] == "error"
    assert "](" not in result["message"]["text"]


# JUnit


@pytest.mark.parametrize(
    ("status", "tier", "kind"),
    [
        (GateStatus.BREACH, Tier.CRITICAL, "failure"),
        (GateStatus.BREACH, Tier.SUPPORTING, "failure"),
        (GateStatus.BREACH, Tier.ADVISORY, "skipped"),
        (GateStatus.INSUFFICIENT, Tier.CRITICAL, "failure"),
        (GateStatus.INSUFFICIENT, Tier.SUPPORTING, "skipped"),
        (GateStatus.ERROR, Tier.CRITICAL, "error"),
        (GateStatus.MISSING, Tier.CRITICAL, "error"),
    ],
)
def test_each_gate_is_a_suite_with_its_tasks_as_cases(
    status: GateStatus, tier: Tier, kind: str, make: Make, factory: Any
) -> None:
    document = ET.fromstring(junit_xml(make(factory.gate(), factory.gate(status, tier))))
    suites = document.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["verdict", "correctness", "correctness"]
    whole, task = suites[2].findall("testcase")
    assert [child.tag for child in whole if child.tag != "system-out"] == [kind]
    assert task.get("name") == "t1"
    assert bool(task.findall("failure")) == (kind != "skipped")
    counts = {tag: len(document.findall(f".//{tag}")) for tag in ("failure", "error")}
    assert (document.get("failures"), document.get("errors")) == (str(counts["failure"]), str(counts["error"]))


# ML-BOM and statement


def test_the_bom_and_the_statement_name_every_judged_file(make: Make) -> None:
    roles = ("model", "baseline_model", "tasks", "candidate_samples", "baseline_samples", "origin_results", "training")
    subjects = tuple(Subject(role=r, path=f"{r}.x", sha256=f"{i:064x}", size=i) for i, r in enumerate(roles))
    verdict = make(subjects=subjects)
    bom, signed = json.dumps(mlbom(verdict)), json.loads(statement(verdict, {"verdict.json": "f" * 64}))
    named = {d["digest"]["sha256"] for d in signed["subject"] + signed["predicate"]["configuration"]}
    for subject in subjects:
        assert subject.sha256 in bom
        assert subject.sha256 in named
    assert verdict.policy.sha256 in named
    assert {s["name"] for s in signed["subject"]} == {"evidence/verdict.json", "model/model.x"}
    assert evidence_digests(statement(verdict, {"verdict.json": "f" * 64})) == {"verdict.json": "f" * 64}


def test_the_statement_is_a_test_result(make: Make, factory: Any) -> None:
    style = factory.gate(GateStatus.BREACH, Tier.ADVISORY)
    for gates, result in (((factory.gate(),), "PASSED"), ((factory.gate(), style), "WARNED"),
                          ((factory.gate(GateStatus.INSUFFICIENT),), "FAILED")):  # fmt: skip
        content = json.loads(statement(make(*gates), {}))
        assert content["_type"] == "https://in-toto.io/Statement/v1"
        assert content["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
        assert content["predicate"]["result"] == result
        tests = (content["predicate"][kind] for kind in ("passedTests", "warnedTests", "failedTests"))
        assert sum(map(len, tests)) == len(gates)


# The verdict's schema


@pytest.fixture(scope="session")
def verdict_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(VERDICT_SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def test_written_verdicts_follow_the_shipped_schema(judged: Any, verdict_schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(verdict_schema, format_checker=jsonschema.FormatChecker())
    content = json.loads(judged.verdict.read_text())
    validator.validate(content)
    for key in content:
        assert list(validator.iter_errors({k: v for k, v in content.items() if k != key})), f"{key} is not required"
    assert list(validator.iter_errors({**content, "extra": 1}))
    assert list(validator.iter_errors({**content, "outcome": "go"}))


def test_the_schema_knows_exactly_the_fields_that_verdicts_have(verdict_schema: dict[str, Any]) -> None:
    def compare(kind: Any, node: dict[str, Any], where: str) -> int:
        node = next((n for n in node.get("anyOf", [node]) if n.get("type") != "null"), node)
        node = node.get("items", node)
        if "$ref" in node:
            node = verdict_schema["$defs"][node["$ref"].rpartition("/")[2]]
        kind = next((a for a in (kind, *get_args(kind)) if dataclasses.is_dataclass(a)), None)
        if kind is None:
            return 0
        hints = {field.name: get_type_hints(kind)[field.name] for field in dataclasses.fields(kind)}
        assert set(node["properties"]) == set(node["required"]) == set(hints), where
        assert node["additionalProperties"] is False
        return 1 + sum(compare(hint, node["properties"][name], f"{where}.{name}") for name, hint in hints.items())

    assert compare(Verdict, verdict_schema, "verdict") == 11


# The directory


def test_programs_with_findings_are_copied_and_pointed_at(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "gate/out"
    write_evidence(
        make(), out=out, programs={("candidate", "t1", "0"): "a\r\nb\n", ("candidate", "t9", "0"): "c"}, sign_key=None
    )
    log = json.loads((out / "results.sarif").read_text())
    (result,) = [result for run in log["runs"] for result in run["results"]]
    place = result["locations"][0]["physicalLocation"]
    assert (tmp_path / place["artifactLocation"]["uri"]).read_bytes() == b"a\r\nb\n"
    assert place["region"]["startLine"] == 2
    assert len(list((out / "programs").rglob("*.*"))) == 1
    write_evidence(make(), out=out, programs={}, sign_key=None)  # a second run leaves no copies of the first
    assert not list((out / "programs").rglob("*.*"))


@given(parts=st.tuples(TEXT, TEXT, TEXT))
def test_names_of_copies_stay_inside_and_are_never_collected(parts: tuple[str, str, str]) -> None:
    path = program_path(parts)
    assert re.fullmatch(r"programs/[A-Za-z0-9_-]+/[0-9a-f]{16}-[A-Za-z0-9_-]*\.py\.txt", path)


def test_half_surrogates_survive_writing_and_reading(factory: Any, make: Make, tmp_path: Path) -> None:
    finding = Finding(tool="t", rule="r", level="note", message=HOSTILE, task_id=HOSTILE, sample_id="0")
    verdict = with_findings(make, factory, [finding])
    write_evidence(verdict, out=tmp_path, programs={("candidate", HOSTILE, "0"): HOSTILE}, sign_key=None)
    assert read_verdict(tmp_path / "verdict.json") == verdict
    assert not (tmp_path / "verdict.dsse.json").exists()


def test_the_same_verdict_gives_the_same_bytes(judged: Any) -> None:
    before = {path: path.read_bytes() for path in judged.out.rglob("*") if path.is_file()}
    judged.sign(judged.go(created=datetime.fromisoformat(read_verdict(judged.verdict).created)))
    assert {path: path.read_bytes() for path in judged.out.rglob("*") if path.is_file()} == before
    assert len(before) == 9


def test_a_full_disk_while_copying_programs_leaves_no_signature(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResourceError, match="no space left"):
        judged.sign(judged.go())
    assert not (judged.out / "verdict.dsse.json").exists()


def test_a_bad_key_writes_nothing_and_a_new_run_invalidates_the_old_signature(
    judged: Any, make: Make, tmp_path: Path
) -> None:
    with pytest.raises(TrustError):
        write_evidence(make(), out=tmp_path / "new", programs={}, sign_key=tmp_path / "none")
    assert not (tmp_path / "new").exists()
    write_evidence(make(), out=judged.out, programs={}, sign_key=None)
    assert not (judged.out / "verdict.dsse.json").exists()
