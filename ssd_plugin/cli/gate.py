"""`ssd gate`: judge a candidate against its baseline and against generation 0."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from ssd_plugin.cli.options import TASKS_HELP, json_option, verbose_option
from ssd_plugin.core.text import visible

_PATH = click.Path(path_type=Path)


@click.command("gate")
@click.option("--policy", default="default", show_default=True, help="A shipped policy's name or a TOML file.")
@click.option("--tasks", help=TASKS_HELP)
@click.option("--baseline", type=_PATH, help="The champion: run directory, samples file or result file.")
@click.option("--candidate", type=_PATH, help="What is judged, in the same forms.")
@click.option("--origin", type=_PATH, help="Generation 0, in the same forms; default: the baseline is generation 0.")
@click.option("--model", type=_PATH, help="The candidate's model directory.")
@click.option("--baseline-model", type=_PATH, help="The baseline's model directory.")
@click.option("--training", type=_PATH, multiple=True, help="Prompts or samples trained on; may be repeated.")
@click.option(
    "--benchmark",
    "benchmarks",
    metavar="NAME=BASELINE,CANDIDATE",
    multiple=True,
    help="Files or folders of a benchmark that another harness graded; may be repeated.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that counts the looks; default: $SSD_LEDGER, else one a user.",
)
@click.option("--sign", type=_PATH, help="Private key that signs the evidence (ssd keys new).")
@click.option("--keyless", is_flag=True, help="Sign with this CI job's or user's OIDC identity (sigstore).")
@click.option("--sigstore-config", type=_PATH, help="Trust configuration of another sigstore than the public one.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Directory for verdict.json and the evidence."
)
@click.option("--check-policy", is_flag=True, help="Only validate the policies named as arguments.")
@click.argument("policies", nargs=-1)
@verbose_option
@json_option
def command(
    policy: str,
    tasks: str | None,
    baseline: Path | None,
    candidate: Path | None,
    origin: Path | None,
    model: Path | None,
    baseline_model: Path | None,
    training: tuple[Path, ...],
    benchmarks: tuple[str, ...],
    ledger: Path | None,
    sign: Path | None,
    keyless: bool,
    sigstore_config: Path | None,
    out: Path | None,
    check_policy: bool,
    policies: tuple[str, ...],
    verbose: bool,
    as_json: bool,
) -> int:
    """Judge a candidate. Exit status: 0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 ERROR.

    \b
    Example: ssd gate --policy samples_only --tasks tasks.jsonl \\
               --baseline champion.jsonl --candidate new.jsonl --out verdict
    Example: ssd gate --policy ssd_out_of_domain --benchmark mmlu=base/,new/ --out verdict
    Example: ssd gate --check-policy policies/*.toml
    """
    if check_policy:
        given = click.get_current_context().get_parameter_source("policy") is not ParameterSource.DEFAULT
        named = (*policies, *((policy,) if given else ()))
        if not named:
            raise click.UsageError("--check-policy needs policies to check: name files, or one with --policy")
        return _check_policies(named, as_json)
    if policies:
        raise click.UsageError(f"unexpected argument {policies[0]!r}; policy files go with --check-policy")
    if out is None or (not benchmarks and (tasks is None or baseline is None or candidate is None)):
        raise click.UsageError(
            "--out is needed, and --tasks, --baseline and --candidate, or --benchmark, as the policy has it"
        )
    if sigstore_config and not keyless:
        raise click.UsageError("--sigstore-config goes with --keyless")
    from ssd_plugin.cli.gate_progress import GateProgress
    from ssd_plugin.evidence.gate_run import judge_and_record
    from ssd_plugin.gating.policy import load_policy
    from ssd_plugin.gating.request import GateRequest, benchmark_options
    from ssd_plugin.report.gating import print_verdict
    from ssd_plugin.trust.keyless import Keyless

    request = GateRequest(
        policy=policy,
        tasks=Path(tasks) if tasks else None,
        baseline=baseline,
        candidate=candidate,
        origin=origin,
        model=model,
        baseline_model=baseline_model,
        training=training,
        benchmarks=benchmark_options(benchmarks),
        ledger=ledger,
        out=out,
    )

    signer = Keyless(config=sigstore_config) if keyless else None
    with GateProgress(len(load_policy(policy).gates), verbose=verbose, quiet=as_json) as progress:
        verdict = judge_and_record(
            request, sign, keyless=signer, on_power=progress.say_power, on_gate=progress.say_gate
        )
    if as_json:
        click.echo(json.dumps(verdict.to_json(), sort_keys=True))
    else:
        print_verdict(verdict, out, verbose=verbose)
    return verdict.outcome.exit_code


def _check_policies(policies: Sequence[str], as_json: bool) -> int:
    """Check each file, its gates' settings and that no override has expired; 3 when one is refused."""
    from datetime import UTC, datetime

    from ssd_plugin.errors import SsdError
    from ssd_plugin.gating.run import load_bench
    from ssd_plugin.gating.verdict import OVERRIDE_DAYS

    today, troubles = datetime.now(UTC).date(), {}
    for policy in policies:
        try:
            bench = load_bench(policy)
        except SsdError as error:
            troubles[policy] = str(error)
            continue
        missing = [name for name in bench.policy.gates if name not in bench.gates]
        expired = [override.gate for override in bench.policy.expired_overrides(today)]
        endless = [
            override.gate for override in bench.policy.overrides if (override.expires - today).days > OVERRIDE_DAYS
        ]
        if missing:
            troubles[policy] = f"{policy}: no gate is called {missing[0]!r}; see: ssd gates list"
        elif expired:
            troubles[policy] = f"{policy}: the override of {expired[0]!r} has expired; remove it or renew it"
        elif endless:
            troubles[policy] = (
                f"{policy}: the override of {endless[0]!r} lasts more than {OVERRIDE_DAYS} days; end it earlier"
            )
    if as_json:
        click.echo(json.dumps({policy: troubles.get(policy, "") for policy in policies}, sort_keys=True))
    for policy in policies:
        if policy in troubles:
            click.echo(f"ssd: {visible(troubles[policy])}", err=True)
        elif not as_json:
            click.echo(f"{visible(policy)}: ok")
    return 3 if troubles else 0
