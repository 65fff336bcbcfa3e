"""JUnit XML: a gate is a suite; its verdict and each task with a finding are cases."""

import io

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ssd_plugin.core.text import visible
from ssd_plugin.gating.verdict import Finding, GateStatus, JudgedGate, Measurement, Outcome, Verdict, weigh

_MAX_LINES = 50  # of findings in one case; the SARIF file has them all


def junit_xml(verdict: Verdict) -> str:
    """The document. A case fails only where its gate stands in the way of GO, so that the file is red exactly when the
    verdict is not GO; a gate that does not count but did not pass is shown as skipped with its reason.
    """
    document = JUnitXml("ssd gate")
    document.add_testsuite(_verdict_suite(verdict))
    for gate in verdict.gates:
        document.add_testsuite(_gate_suite(gate, verdict))
    document.update_statistics()  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    document.write(buffer)
    return buffer.getvalue().decode()


def _verdict_suite(verdict: Verdict) -> TestSuite:
    suite = TestSuite("verdict")
    case = TestCase("GO", classname="ssd.verdict")
    if verdict.outcome is not Outcome.GO:
        case.result = [Failure(visible(f"{verdict.outcome}: {verdict.reason}"), verdict.outcome.value)]
    suite.add_testcase(case)
    return suite


def _gate_suite(gate: JudgedGate, verdict: Verdict) -> TestSuite:
    name = visible(gate.result.gate, 80)
    suite = TestSuite(name)
    suite.add_property("tier", gate.tier.value)
    suite.add_property("status", gate.result.status.value)
    blocks = weigh(gate, verdict.judged_on) is not Outcome.GO
    case = TestCase("gate", classname=f"ssd.{name}", time=round(gate.seconds, 3))
    message = visible(gate.result.reason)
    if blocks:
        kind = Error if gate.result.status in (GateStatus.ERROR, GateStatus.MISSING) else Failure
        case.result = [kind(message, gate.result.status.value)]
    elif gate.result.status is not GateStatus.PASS:
        case.result = [Skipped(f"{gate.result.status.value}, does not decide: {message}")]
    case.system_out = "\n".join([message, *map(_figure, gate.result.measurements)])
    tasks = _by_task(gate.result.findings).items()
    suite.add_testcases([case, *(_task_case(name, task, findings, blocks) for task, findings in tasks)])
    return suite


def _task_case(gate: str, task: str, findings: list[Finding], blocks: bool) -> TestCase:
    case = TestCase(task, classname=f"ssd.{gate}")
    lines = [
        visible(f"{f.side} {f.sample_id} line {f.line}: {f.tool} {f.rule}: {f.message}") for f in findings[:_MAX_LINES]
    ]
    if len(findings) > _MAX_LINES:
        lines.append(f"{len(findings) - _MAX_LINES} more findings of this task are in the SARIF file")
    text = "\n".join(lines)
    if blocks and any(f.side == "candidate" for f in findings):
        failure = Failure(f"{len(findings)} findings", "finding")
        failure.text = text
        case.result = [failure]
    else:
        case.system_out = text
    return case


def _by_task(findings: tuple[Finding, ...]) -> dict[str, list[Finding]]:
    tasks: dict[str, list[Finding]] = {}
    for finding in findings:
        tasks.setdefault(visible(finding.task_id, 200) or "model", []).append(finding)
    return tasks


def _figure(figure: Measurement) -> str:
    values = {
        name: value
        for name in ("baseline", "candidate", "delta", "low", "high", "margin")
        if (value := getattr(figure, name)) is not None
    }
    numbers = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
    return visible(f"{figure.name} ({figure.unit}): {numbers}, {figure.tasks} tasks, {figure.status}")
