"""Holds the results of other harnesses that a gate run is given, and digests what they are."""

from collections.abc import Mapping
from pathlib import Path

from ssd_plugin.core.jsonl import sha256_json
from ssd_plugin.errors import GateError
from ssd_plugin.gating.gate import BenchmarkFiles
from ssd_plugin.gating.held_inputs import HeldInputs
from ssd_plugin.gating.policy import BENCHMARKS, Policy
from ssd_plugin.gating.request import GateRequest
from ssd_plugin.gating.verdict import Subject
from ssd_plugin.harnesses.reading import files_of


def require_named(request: GateRequest, policy: Policy) -> None:
    """Hold what was given to what the policy judges.

    Raises:
        GateError: a benchmark that the policy does not name, or samples that it judges are missing or that it does not judge.
    """
    named = [name.partition(".")[2] for name in policy.gates if name.startswith(f"{BENCHMARKS}.")]
    if unknown := [name for name in request.benchmarks if name not in named]:
        raise GateError(
            f"benchmark {unknown[0]!r}: policy {policy.name} has no [gates.{BENCHMARKS}.{unknown[0]}]; "
            f"it has {', '.join(named) or 'none'}"
        )
    given = {"--tasks": request.tasks, "--baseline": request.baseline, "--candidate": request.candidate}
    missing = [option for option, path in given.items() if path is None]
    if policy.grades and missing:
        raise GateError(f"policy {policy.name} judges samples that are graded here: give {', '.join(missing)}")
    others = {**given, "--origin": request.origin, "--training": request.training or None}
    if not policy.grades and (unused := [option for option, path in others.items() if path is not None]):
        raise GateError(
            f"policy {policy.name} judges no samples: leave {', '.join(unused)} out, or name another policy"
        )
    if not policy.grades and not request.benchmarks:
        raise GateError(
            f"policy {policy.name} judges results of other harnesses: give --benchmark NAME=BASELINE,CANDIDATE"
        )


def hold_benchmarks(request: GateRequest, held: HeldInputs) -> dict[str, BenchmarkFiles]:
    """Private copies of each benchmark's files; the verdict names every one.

    Raises:
        DataError: a file is missing or there is nothing in a folder. ResourceError: the disk is full.
    """
    return {
        name: BenchmarkFiles(
            baseline=_hold(f"{name}_baseline", baseline, held), candidate=_hold(f"{name}_candidate", candidate, held)
        )
        for name, (baseline, candidate) in request.benchmarks.items()
    }


def _hold(role: str, path: Path, held: HeldInputs) -> tuple[Path, ...]:
    copies = held.copy_below(path if path.is_dir() else path.parent, files_of(path))
    for copy in copies:
        held.judge(f"{BENCHMARKS}.{role}", copy)
    return copies


def digests(subjects: tuple[Subject, ...], side: str) -> str:
    """One digest of what a side's benchmarks are, whatever their files are called; empty where there are none."""
    ending = f"_{side}"
    found = sorted(
        (s.role, s.sha256) for s in subjects if s.role.startswith(f"{BENCHMARKS}.") and s.role.endswith(ending)
    )
    return sha256_json(found) if found else ""


def benchmark_digests(subjects: tuple[Subject, ...]) -> Mapping[str, str]:
    """The digests of both sides' benchmarks; nothing where there are none."""
    return {f"benchmarks_{side}": found for side in ("baseline", "candidate") if (found := digests(subjects, side))}
