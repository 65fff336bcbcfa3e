"""Judge, then write the evidence: what `ssd gate` and the pipeline's gate stage both do."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ssd_plugin.core.files import refuse_special
from ssd_plugin.evidence.programs import ProgramKey, key_of
from ssd_plugin.evidence.write import write_evidence
from ssd_plugin.gating.gate import Side
from ssd_plugin.gating.isolation import Answer
from ssd_plugin.gating.output_lock import held
from ssd_plugin.gating.request import GateRequest
from ssd_plugin.gating.run import load_bench, run_gates
from ssd_plugin.gating.verdict import PowerRow, Verdict
from ssd_plugin.trust.evidence_files import FILES
from ssd_plugin.trust.keyless import Keyless, require_credential
from ssd_plugin.trust.signing import load_private_key


def finding_programs(verdict: Verdict, sides: Sequence[Side]) -> dict[ProgramKey, str]:
    """The generated programs that findings point at, of the rows that were judged."""
    wanted = {key_of(finding) for gate in verdict.gates for finding in gate.result.findings}
    return {
        key: row.program or row.completion
        for side in sides
        for row in side.rows
        if (key := (side.role, row.task_id, row.sample_id)) in wanted
    }


def judge_and_record(
    request: GateRequest,
    sign_key: Path | None,
    *,
    keyless: Keyless | None = None,
    on_power: Callable[[Sequence[PowerRow]], None] = lambda _: None,
    on_gate: Callable[[str, Answer], None] = lambda *_: None,
) -> Verdict:
    """Run the gates and write the evidence into the request's `out`, signed when `sign_key` or `keyless` is given.

    Raises:
        TrustError: the key cannot be used, or there is no identity to sign with (said before any work).
        ConfigError, PluginError: as `run_gates`.
        GateError: another process uses `out`.
        DataError: something stands in `out` in the place of what is written there.
    """
    if sign_key is not None:
        load_private_key(sign_key)
    if keyless is not None:
        require_credential()
    load_bench(request.policy)  # a policy that cannot be used is refused before there is a directory to hold
    with held(request.out):
        for name in FILES:
            refuse_special(request.out / name)
        sides: list[Side] = []
        verdict = run_gates(request, on_power=on_power, on_gate=on_gate, on_sides=sides.extend)
        programs = finding_programs(verdict, sides)
        write_evidence(verdict, out=request.out, programs=programs, sign_key=sign_key, keyless=keyless)
    return verdict
