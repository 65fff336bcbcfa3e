"""The pipeline, top to bottom. Each stage runs in a process of its own, reads and writes named files of the run directory,
and is not run again while its inputs, settings, code and tools are what they were."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ssd_plugin.config.overrides import config_to_json
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.source_digest import code_digest
from ssd_plugin.core.tool_versions import tool_versions
from ssd_plugin.errors import ConfigError, DataError, DependencyError, ModelError, RunDirError, TrustError
from ssd_plugin.gating.request import benchmark_options
from ssd_plugin.gating.verdict import Outcome, decide, read_verdict
from ssd_plugin.methods import method_of
from ssd_plugin.methods.base import Method, Stage
from ssd_plugin.pipeline import manifest
from ssd_plugin.pipeline.external_inputs import outside_file, outside_model
from ssd_plugin.pipeline.interpreters import Interpreters
from ssd_plugin.pipeline.manifest import StageRecord
from ssd_plugin.pipeline.run_directory import RunDir, digest_path
from ssd_plugin.pipeline.stages import stage_module
from ssd_plugin.planning.checks import refuse_problems
from ssd_plugin.planning.preflight import gate_problems, machine_problems
from ssd_plugin.planning.versions import interpreter_tools

GATES = Path(__file__).parents[1] / "gates"  # found at run time, so no import leads from the stage to them


def _sources(config: RunConfig) -> dict[str, str]:
    data = (config.prompts, config.select.data, config.evaluate.data)
    return outside_model(config.model.ref) | {d.source: outside_file(d.source) for d in data}


def _judges(config: RunConfig) -> dict[str, str]:
    files = (config.gate.policy, config.gate.origin, config.gate.sign_key)
    results = [str(path) for sides in benchmark_options(config.gate.benchmarks).values() for path in sides]
    read = {file: digest for path in results for file, digest in outside_model(path).items()}
    return {path: outside_file(path) for path in files if path} | read | {"gates": digest_path(GATES)}


def _now() -> datetime:
    return datetime.now(UTC)


def _verdict_is_current(run: RunDir) -> bool:
    """Whether the verdict would be the same today: neither it nor an override that it rests on has expired. An ERROR is no
    judgement: it is tried again, since what its reason names may have been mended.
    """
    try:
        verdict = read_verdict(run / layout.VERDICT)
        expires = datetime.fromisoformat(verdict.expires)
    except (DataError, ValueError):
        return False
    outcome, _ = decide(verdict.gates, _now().date())
    return verdict.outcome is outcome is not Outcome.ERROR and _now() < expires


_REFUSALS = (ConfigError, DataError, ModelError, DependencyError, TrustError)  # of what the settings name
_OUTSIDE: Mapping[str, Callable[[RunConfig], Mapping[str, str]]] = {"prompts": _sources, "gate": _judges}
"""What stages read from outside the run directory: a digest by name."""

_IS_CURRENT: Mapping[str, Callable[[RunDir], bool]] = {"gate": _verdict_is_current}
"""Whether a stage's output is still valid today (verdicts expire)."""


def _outside(config: RunConfig, stage: Stage) -> Mapping[str, str]:
    read = _OUTSIDE.get(stage.name)
    return read(config) if read else {}


def _is_current(run: RunDir, stage: Stage) -> bool:
    check = _IS_CURRENT.get(stage.name)
    return check is None or check(run)


def run_pipeline(config: RunConfig, run_dir: Path, until: str = "report") -> int:
    """Run, or continue, the pipeline up to and including the stage `until`; returns the exit status.

    With the gates reached it is the verdict's (0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 ERROR); 0 before that.

    Raises:
        ConfigError: a stage that is still to run cannot work on this machine; nothing was begun.
        SsdError: what a stage met; everything that was finished is kept.
    """
    run = RunDir(run_dir)
    stages = _up_to(until, method_of(config))
    require_machine(config, run, stages)
    with run.locked() as lock, Interpreters(run, lock) as interpreters:
        earlier = run.read_config() if (run / layout.CONFIG).exists() else None
        run.bind(config_to_json(config))
        records = manifest.load(run / layout.MANIFEST)
        try:
            _advance(run, config, stages[0], records, interpreters)
        except _REFUSALS:
            if earlier is not None:
                _take_back(run, earlier, records)
            raise
        for stage in stages[1:]:
            _advance(run, config, stage, records, interpreters)
    return int(records["gate"].facts["exit_code"]) if _judges_in(stages) else 0


def _up_to(until: str, method: Method) -> tuple[Stage, ...]:
    """The method's pipeline up to and including a stage.

    Raises:
        ConfigError: the method has no such stage.
    """
    if until not in method.stage_names:
        raise ConfigError(
            f"method = {method.name} has no stage {until!r}; it has: {', '.join(method.stage_names)}; "
            "use ssd run, which runs them all"
        )
    return method.pipeline[: method.stage_names.index(until) + 1]


def _judges_in(stages: Sequence[Stage]) -> bool:
    return any(stage.name == "gate" for stage in stages)


def _take_back(run: RunDir, earlier: dict[str, object], records: dict[str, StageRecord]) -> None:
    """Go back to the settings of before: a source or model that cannot be had is nothing to go on with. The first stage may have
    written some of its files anew, so it is to run again."""
    run.bind(earlier)
    records.pop("prompts", None)
    manifest.save(run / layout.MANIFEST, records)


def require_machine(config: RunConfig, run: RunDir, stages: Sequence[Stage]) -> None:
    """Refuse stages that are still to run and cannot work on this machine, and gates that could not judge; nothing is written.

    Raises:
        ConfigError: names all that was found.
    """
    recorded = manifest.load(run / layout.MANIFEST)
    problems = machine_problems(config, [stage for stage in stages if stage.name not in recorded])
    refuse_problems(problems + (gate_problems(config) if _judges_in(stages) else []))


def _advance(
    run: RunDir, config: RunConfig, stage: Stage, records: dict[str, StageRecord], interpreters: Interpreters
) -> None:
    """Bring one stage up to date and say so in a line."""
    record = _expected(config, stage, records)
    done = records.get(stage.name)
    same = done is not None and done.fingerprint() == record.fingerprint() and _intact(run, stage, done)
    if done is not None and same and _is_current(run, stage):
        print(f"{stage.name:9} unchanged: {done.summary}", flush=True)
        return
    started = time.monotonic()
    report = interpreters.run(stage.name, stage.python(config), stage.imports(config))
    finished = replace(
        record,
        outputs={name: digest_path(run / name) for name in stage.writes},
        summary=report["summary"],
        facts=report["facts"],
        seconds=round(time.monotonic() - started, 2),
        peak_memory_mib=report["peak_memory_mib"],
        spent=report["spent"],
    )
    records[stage.name] = finished
    manifest.save(run / layout.MANIFEST, records)
    print(f"{stage.name:9} {finished.summary} ({finished.seconds:.0f} s)", flush=True)


def _expected(config: RunConfig, stage: Stage, records: Mapping[str, StageRecord]) -> StageRecord:
    """The record that this stage would have if it ran now, without its results."""
    done = records.get(stage.name)
    written = {name: digest for record in records.values() for name, digest in record.outputs.items()}
    return StageRecord(
        settings=plain(stage.settings(config)),
        code=code_digest(stage_module(stage.name)),
        inputs={name: written[name] for name in stage.reads},
        outputs={},
        external=_outside(config, stage),
        tools=_tools(config, stage, done),
        summary="",
    )


def _tools(config: RunConfig, stage: Stage, done: StageRecord | None) -> Mapping[str, str]:
    """Versions of the stage's tools in the interpreter that runs it. With a container per stage, another stage's cannot be
    asked: what was recorded there counts, and the image's name is among the stage's settings."""
    if done is not None and any(asdict(config.container).values()):
        return done.tools
    python = stage.python(config)
    return interpreter_tools(python, stage.tools) if python else tool_versions(stage.tools)


def _intact(run: RunDir, stage: Stage, done: StageRecord) -> bool:
    """Are the stage's files there, and as it wrote them? Missing ones are made anew, and so are those that may be rewritten.

    Raises:
        RunDirError: a file was changed.
    """
    for name, digest in done.outputs.items():
        if not (run / name).exists():
            return False
        if digest_path(run / name) != digest:
            if stage.rewritten:
                return False
            raise RunDirError(
                f"{run / name}: changed since the stage {stage.name} wrote it; restore it, or delete it to redo the stage"
            )
    return True


def plain(settings: Any) -> Any:
    """Settings as they come back from JSON, dataclasses as objects."""
    return json.loads(json.dumps(settings, default=asdict))
