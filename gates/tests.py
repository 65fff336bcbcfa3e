"""Your own pytest suite, run against the candidate; its JUnit XML is the judge.

The suite is your code and runs outside the sandbox. It finds the inputs in its environment: SSD_TASKS, SSD_CANDIDATE_RESULTS,
SSD_BASELINE_RESULTS, SSD_CANDIDATE_MODEL (empty without weights); every other variable of `ssd gate` is passed on, such as one of
your own that says where the candidate is served. Run generated programs through `ssd score`, never by import.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from junitparser import JUnitXml, JUnitXmlError, TestCase, TestSuite

from ssd_plugin.core.jsonl import sha256_file, sha256_json
from ssd_plugin.errors import GateError
from ssd_plugin.gating.gate import Gate, GateContext
from ssd_plugin.gating.paired import refuse
from ssd_plugin.gating.verdict import Finding, GateResult, GateStatus
from ssd_plugin.hooks.specs import hookimpl

_MAX_REPORT = 64 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`suite`: a pytest file or directory, relative to the working directory; `interpreter`: a Python that has pytest."""

    suite: str = ""
    interpreter: str = sys.executable


def _digest(suite: Path) -> str:
    """One digest for what voted: the suite's files by name."""
    files = [suite] if suite.is_file() else [path for path in sorted(suite.rglob("*")) if path.is_file()]
    named = {str(path.relative_to(suite.parent)): path for path in files if "__pycache__" not in path.parts}
    return sha256_json({name: sha256_file(path) for name, path in named.items()})


def _cases(report: Path) -> list[TestCase]:
    """The report's cases.

    Raises:
        GateError: too large, with a document type (pytest writes none; entities could expand without end), or no JUnit XML.
    """
    if report.stat().st_size > _MAX_REPORT:
        raise GateError(f"the report is larger than {_MAX_REPORT >> 20} MiB")
    try:
        text = report.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text or "\0" in text:  # escaped when a test printed it
            raise GateError("the report has a document type, which pytest never writes")
        return _parsed(report)
    except (JUnitXmlError, UnicodeDecodeError, SyntaxError) as error:  # ElementTree's ParseError is a SyntaxError
        raise GateError(f"the report is no JUnit XML: {error}") from error


def _parsed(report: Path) -> list[TestCase]:
    parsed = JUnitXml.fromfile(str(report))
    suites = [parsed] if isinstance(parsed, TestSuite) else list(parsed)
    return [case for suite in suites for case in suite]


def check(context: GateContext, settings: Settings) -> GateResult:
    """PASS: every test that ran passed, and some ran. BREACH: one failed. ERROR: one broke, none ran, or no report came."""
    if not settings.suite:
        return refuse("tests", GateStatus.INSUFFICIENT, "the policy names no suite (gates.tests.suite)")
    if not Path(settings.suite).exists():
        return refuse("tests", GateStatus.ERROR, f"{settings.suite}: no such suite")
    report = context.work / "junit.xml"
    suite = _digest(Path(settings.suite))
    command = [settings.interpreter, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", settings.suite]
    environment = os.environ | {
        "SSD_TASKS": str(context.tasks_path.resolve()),
        "SSD_CANDIDATE_RESULTS": str(context.candidate.results.resolve()),
        "SSD_BASELINE_RESULTS": str(context.baseline.results.resolve()),
        "SSD_CANDIDATE_MODEL": str(context.model.resolve()) if context.model else "",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - the user's suite
    if not report.is_file():
        return refuse(
            "tests", GateStatus.ERROR, f"pytest wrote no report: {(done.stderr or done.stdout).strip()[-300:]}"
        )
    return _judge(_cases(report), done.returncode, suite)


def _judge(cases: list[TestCase], status: int, suite: str) -> GateResult:
    kinds = [(case, {type(result).__name__ for result in case.result}) for case in cases]
    broke = [case for case, found in kinds if "Error" in found]
    failed = [case for case, found in kinds if "Failure" in found]
    skipped = sum("Skipped" in found for _, found in kinds)
    text = f"{len(cases)} tests: {len(failed)} failed, {len(broke)} broke, {skipped} skipped; suite {suite}"
    findings = [
        Finding(tool="tests", rule="test-failed", level="error", message=_said(case), side="suite")
        for case in (*broke, *failed)
    ]
    if broke or not cases or status not in (0, 1):
        return refuse("tests", GateStatus.ERROR, f"{text} (pytest exit {status})", findings)
    if failed:
        return refuse("tests", GateStatus.BREACH, text, findings)
    if len(cases) == skipped:
        return refuse("tests", GateStatus.INSUFFICIENT, f"{text}: none ran")
    return GateResult(gate="tests", status=GateStatus.PASS if status == 0 else GateStatus.ERROR, reason=text)


def _said(case: TestCase) -> str:
    messages = [str(result.message) for result in case.result if result.message]
    return f"{case.classname}.{case.name}: {messages[0] if messages else 'no message'}"[:500]


@hookimpl
def ssd_gates() -> Sequence[Gate]:
    """This file's gate."""
    summary = "your own pytest suite against the candidate, through its JUnit XML"
    return [
        Gate(name="tests", summary=summary, needs="a suite in the policy", settings=Settings, check=check, paired=False)
    ]
