"""Forks and locks of a run directory: finds its models and held-out programs, measures, and keeps the result there."""

from pathlib import Path

from ssd_plugin.analysis.forks import measure_all, summarise
from ssd_plugin.errors import DataError, DependencyError, RunDirError
from ssd_plugin.jsonl import JsonObject, write_json
from ssd_plugin.records import read_tasks
from ssd_plugin.rundir import RunDir
from ssd_plugin.settings import config_from_json
from ssd_plugin.stages.model import base_model, candidate_model


def analyze_run(run_dir: Path) -> JsonObject:
    """Write analysis/forks.json and return it.

    Raises:
        RunDirError: no run directory, or no trained model in it.
        DataError: fewer than two held-out tasks have a reference program.
        DependencyError: torch or transformers is not installed.
        ModelError, ResourceError: a model cannot be loaded.
    """
    try:
        from ssd_plugin.analysis.reading import Reader, read_programs
    except ImportError as error:
        raise DependencyError("ssd analyze needs torch and transformers: pip install 'ssd-plugin[embedded]'") from error
    run = RunDir(run_dir)
    config = config_from_json(run.read_config())
    candidate = candidate_model(run)
    if not candidate.is_dir():
        raise RunDirError(f"{candidate}: no trained model yet; make it with: ssd train --run-dir {run_dir}")
    base = base_model(run, config)
    programs, contexts = read_programs(base, config.model.system_message, read_tasks(run / "prompts/heldout.jsonl"))
    if len(programs) < 2:
        raise DataError(f"{run / 'prompts/heldout.jsonl'}: two tasks or more need a 'reference' program to read")
    before, after = (Reader(model).read(contexts, programs) for model in (base, candidate))
    document = summarise(measure_all(programs, before, after, config.sampling), config.sampling)
    write_json(run / "analysis/forks.json", document)
    return document
