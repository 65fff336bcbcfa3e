"""The tiers of isolation, strongest first, and finding by trial which of them work on this machine."""

import json
from dataclasses import dataclass
from enum import StrEnum

from ssd_plugin.errors import SandboxError
from ssd_plugin.sandbox.limits import Limits
from ssd_plugin.sandbox.worker import Worker


class SandboxTier(StrEnum):
    """What confines a graded program; the value stands in every result file's sidecar."""

    NAMESPACES = "namespaces"
    LANDLOCK = "landlock"
    RLIMITS = "rlimits"

    @property
    def can_earn_go(self) -> bool:
        """Whether a verdict may rest on it: limits alone are no boundary."""
        return self is not SandboxTier.RLIMITS


_HELP = {
    SandboxTier.NAMESPACES: (
        "allow unprivileged user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04), "
        "sysctl kernel.unprivileged_userns_clone=1 (older Debian), user.max_user_namespaces above 0; in a container, a "
        "seccomp profile that permits unshare, mount and pivot_root"
    ),
    SandboxTier.LANDLOCK: (
        "Linux 5.13 or newer with landlock in the boot option lsm=; in a container, a seccomp profile that permits the "
        "landlock calls"
    ),
    SandboxTier.RLIMITS: "needs Linux on x86_64 or aarch64",
}


@dataclass(frozen=True, kw_only=True)
class TierReport:
    """One tier on this machine: whether it works, else why not and how to get it."""

    tier: SandboxTier
    available: bool
    reason: str = ""
    how_to_get: str = ""
    notes: tuple[str, ...] = ()


def try_tier(tier: SandboxTier) -> TierReport:
    """Start the tier and run one program in it."""
    try:
        with Worker(tier.value, Limits()) as worker:
            payload = {"program": "def f(x):\n    return x + 1\n", "entry_point": "f", "inputs": [[41]]}
            report = worker.run("function", [payload], Limits(), report_bytes=4096)
            lines = [json.loads(line) for line in report.report.splitlines()]
            works, notes = lines[:1] == [{"value": 42}], worker.notes
            reason = "" if works else f"a trivial program gave {report.report[:100]!r}"
    except SandboxError as error:
        works, notes, reason = False, (), str(error)
    return TierReport(tier=tier, available=works, reason=reason, how_to_get="" if works else _HELP[tier], notes=notes)


def probe() -> list[TierReport]:
    """Every tier, strongest first, each one tried (about half a second in all)."""
    return [try_tier(tier) for tier in SandboxTier]


def choose(wanted: SandboxTier | None = None) -> TierReport:
    """The tier asked for, else the stronger of the two that are a boundary.

    Raises:
        SandboxError: it does not work here; limits alone must be asked for by name.
    """
    candidates = [wanted] if wanted else [tier for tier in SandboxTier if tier.can_earn_go]
    reports: list[TierReport] = []
    for tier in candidates:
        report = try_tier(tier)
        if report.available:
            missed = tuple(f"{weaker.tier}: {weaker.reason}" for weaker in reports)
            return TierReport(tier=tier, available=True, notes=(*report.notes, *missed))
        reports.append(report)
    reasons = "; ".join(f"{report.tier}: {report.reason} ({report.how_to_get})" for report in reports)
    hint = "" if wanted else "; to grade with limits alone, which can never earn a GO, ask for the tier 'rlimits'"
    raise SandboxError(f"no sandbox works here: {reasons}{hint}")
