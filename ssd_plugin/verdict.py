"""What a gate run can say. GO is an allow-list: every other state, named, is not GO."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The verdict on a candidate; `exit_code` is the command's exit status."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"

    @property
    def exit_code(self) -> int:
        """0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 ERROR."""
        return {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2, "ERROR": 3}[self.value]


class Tier(StrEnum):
    """How much a gate weighs: critical must pass, supporting must not breach, advisory is only reported."""

    CRITICAL = "critical"
    SUPPORTING = "supporting"
    ADVISORY = "advisory"


class GateStatus(StrEnum):
    """What one gate found. INSUFFICIENT: too little data to say; MISSING: required but nobody registered it."""

    PASS = "pass"
    BREACH = "breach"
    INSUFFICIENT = "insufficient"
    ERROR = "error"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One paired figure of a gate. Rates are fractions, not percent; `low` / `high` bound `delta` two-sided 95 %
    unless the gate's text says otherwise; `margin` is the largest loss the policy tolerates, in the same unit."""

    name: str
    unit: str
    baseline: float | None
    candidate: float | None
    delta: float | None
    low: float | None
    high: float | None
    margin: float | None
    tasks: int
    status: GateStatus


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place in a generated program or model file that a reader should look at (becomes a SARIF result)."""

    tool: str
    rule: str
    level: str  # SARIF: "error", "warning", "note"
    message: str
    task_id: str = ""
    sample_id: str = ""
    side: str = "candidate"
    line: int = 1


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What one gate says: its status, the reason in a sentence, the figures and the findings behind it."""

    gate: str
    status: GateStatus
    reason: str
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
