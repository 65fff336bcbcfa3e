"""What a gate run can say. GO is an allow-list: every other state, named, is not GO."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from ssd_plugin.config.parsing import build
from ssd_plugin.core.jsonl import JsonObject, read_json, write_json
from ssd_plugin.errors import ConfigError, DataError

SCHEMA = "ssd-verdict/2"


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
    unless the gate's text says otherwise; `margin` is the largest loss the policy tolerates, in the same unit.
    `less_is_better`: a rise is the loss, so the margin lies above zero; otherwise a fall is, and it lies below."""

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
    less_is_better: bool = False


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


@dataclass(frozen=True, kw_only=True)
class Override:
    """A person's decision, in the policy file, to accept what a gate found until the end of the day `expires`."""

    gate: str
    reason: str
    expires: date


@dataclass(frozen=True, kw_only=True)
class JudgedGate:
    """A gate's result with its weight in the policy. `plugin`: "distribution version" that provided the gate."""

    result: GateResult
    tier: Tier
    required: bool
    override: Override | None = None
    seconds: float = 0.0
    plugin: str = ""


@dataclass(frozen=True, kw_only=True)
class PolicyRef:
    """Which policy judged: its name and the digest of the file's bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A file that the verdict speaks of. `role`: tasks, training, model, baseline_model, or
    (baseline | candidate | origin)_(samples | results | sidecar).
    `path`: inside the model directory for the two model roles, else relative to the verdict's directory."""

    role: str
    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program that took part. `sha256`: of the plugin's files, empty for tools that their version pins."""

    name: str
    version: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class PowerRow:
    """What a gate can see on this baseline, computed before the candidate is read. `power`: probability that a candidate equal
    to the baseline passes; `tasks_needed`: tasks for power 0.8, 0 where no number is enough since the baseline is
    not above the margin; `detectable`: the margin passed with power 0.8."""

    gate: str
    measure: str
    tasks: int
    samples: int
    margin: float
    power: float
    tasks_needed: int
    detectable: float


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often this candidate was judged. `look`: with new data, of `allowed`; `reruns`: with the very same data before.
    Each look tests at `alpha`, the policy's alpha divided by `allowed` (Bonferroni). `candidates`: how many different ones were
    judged on these tasks so far, this one included; nothing corrects for their number. `ledger`: the file that was counted in."""

    look: int
    allowed: int
    reruns: int
    alpha: float
    candidates: int = 0
    ledger: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The whole judgement, as written to verdict.json. Times are ISO 8601 in UTC; `sandbox` is the weakest tier that graded."""

    schema: str = SCHEMA
    outcome: Outcome
    reason: str
    promotable: bool
    policy: PolicyRef
    gates: tuple[JudgedGate, ...]
    subjects: tuple[Subject, ...]
    tools: tuple[Tool, ...]
    sandbox: str
    power: tuple[PowerRow, ...]
    looks: Looks
    created: str
    expires: str

    @property
    def judged_on(self) -> date:
        """The day (UTC) of the judgement, on which overrides must not have expired."""
        return datetime.fromisoformat(self.created).astimezone(UTC).date()

    def to_json(self) -> JsonObject:
        """The verdict file's object; `Verdict.from_json(verdict.to_json()) == verdict`."""
        plain: JsonObject = json.loads(json.dumps(dataclasses.asdict(self), default=date.isoformat, allow_nan=False))
        return plain

    @staticmethod
    def from_json(value: Any, where: str = "verdict") -> "Verdict":
        """Read a verdict object.

        Raises:
            DataError: another schema, unknown or missing keys, wrong types, or an outcome its own gates do not support.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != SCHEMA:
            raise DataError(f"{where}: schema is {schema!r}, expected {SCHEMA!r}")
        try:
            verdict = build(Verdict, value, "")
            derived, _ = decide(verdict.gates, verdict.judged_on)
        except (ConfigError, ValueError) as error:
            raise DataError(f"{where}: {error}") from error
        if verdict.outcome is not derived:
            raise DataError(f"{where}: says {verdict.outcome}, but its gates amount to {derived}")
        return verdict


def read_verdict(path: Path) -> Verdict:
    """Read verdict.json.

    Raises:
        DataError: missing, malformed, or inconsistent in itself.
    """
    return Verdict.from_json(read_json(path), str(path))


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Write verdict.json atomically."""
    write_json(path, verdict.to_json())


OVERRIDE_DAYS = 184  # half a year: what is accepted for longer belongs into the policy's margins
_SEVERITY = (Outcome.GO, Outcome.INCONCLUSIVE, Outcome.NO_GO, Outcome.ERROR)


def _override_fault(override: Override, today: date) -> str:
    if override.expires < today:
        return f"its override expired on {override.expires} (remove it or renew it)"
    if (override.expires - today).days > OVERRIDE_DAYS:
        return f"its override runs until {override.expires}; one may last {OVERRIDE_DAYS} days from today at most"
    return ""


def weigh(gate: JudgedGate, today: date) -> Outcome:
    """What this gate alone allows at best."""
    status = gate.result.status
    if gate.override and _override_fault(gate.override, today):
        return Outcome.ERROR
    if status in (GateStatus.ERROR, GateStatus.MISSING):
        return Outcome.ERROR if gate.required else Outcome.GO
    if gate.override or gate.tier is Tier.ADVISORY or status is GateStatus.PASS:
        return Outcome.GO
    if status is GateStatus.BREACH:
        return Outcome.NO_GO
    return Outcome.INCONCLUSIVE if gate.tier is Tier.CRITICAL else Outcome.GO


def _because(gate: JudgedGate, today: date) -> str:
    result, override = gate.result, gate.override
    if override and (fault := _override_fault(override, today)):
        return f"{result.gate}: {fault}"
    return f"{result.gate} ({gate.tier}) {result.status}: {result.reason}"


def decide(gates: Sequence[JudgedGate], today: date) -> tuple[Outcome, str]:
    """The verdict: the worst that any gate allows, GO < INCONCLUSIVE < NO-GO < ERROR, and why in a sentence.

    A maximum over gates of a function that never falls as one gate's status gets worse, so no gate's failure can improve it.
    There must be a critical gate without an override; for GO it has then passed.
    """
    deciding = [gate for gate in gates if gate.tier is Tier.CRITICAL and gate.override is None]
    if not deciding:
        return Outcome.ERROR, "no critical gate without an override was run: that requires nothing"
    weights = [(weigh(gate, today), gate) for gate in gates]
    outcome = max((weight for weight, _ in weights), key=_SEVERITY.index)
    if outcome is not Outcome.GO:
        return outcome, "; ".join(_because(gate, today) for weight, gate in weights if weight is outcome)
    accepted = [g.result.gate for g in gates if g.override and g.result.status is not GateStatus.PASS]
    note = f"; accepted by override: {', '.join(accepted)}" if accepted else ""
    return Outcome.GO, f"all {len(deciding)} critical gates passed and no supporting gate breached{note}"


def in_short(verdict: Verdict) -> str:
    """Why, for a page that shows each gate's whole reason too: the gates that decided, by name. A GO, and an ERROR, which may
    be all that a log shows, give their reason itself.
    """
    deciding = [gate for gate in verdict.gates if weigh(gate, verdict.judged_on) is verdict.outcome]
    if not deciding or verdict.outcome in (Outcome.GO, Outcome.ERROR):
        return verdict.reason
    return ", ".join(f"{gate.result.gate} ({gate.tier}) {gate.result.status}" for gate in deciding)
