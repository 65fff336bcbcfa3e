"""Forks and locks of a run directory: finds its models and held-out programs, measures, and keeps the result there.

The cost is bounded: two forward passes (base and candidate) over at most `programs` reference programs of at most 256 code
tokens, each behind its task's prompt, and over at most `documents` functions of ordinary code of at most 512 tokens.
"""

import ast
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ssd_plugin.analysis.forks import Measured, Program, measure_all, summarise
from ssd_plugin.config.overrides import config_from_json
from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, write_json
from ssd_plugin.core.output_tree import refuse_planted
from ssd_plugin.core.progress import track
from ssd_plugin.errors import DataError, DependencyError, RunDirError
from ssd_plugin.gating import corpus
from ssd_plugin.gating.likelihood import nats_per_character
from ssd_plugin.metrics.inference import bootstrap_mean
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages.model import base_model, candidate_model
from ssd_plugin.tasks.schema import read_tasks

PROGRAMS, DOCUMENTS = 64, 32


def analyze_run(run_dir: Path, *, programs: int = PROGRAMS, documents: int = DOCUMENTS) -> JsonObject:
    """Write analysis/forks.json and return it. `documents` 0 reads no ordinary code.

    Raises:
        RunDirError: no run directory, or no trained model in it.
        DataError: fewer than two held-out tasks have a reference program.
        DependencyError: torch or transformers is not installed.
        ModelError, ResourceError: a model cannot be loaded.
    """
    try:
        from ssd_plugin.analysis.reading import read_programs
    except ImportError as error:
        raise DependencyError(
            "ssd analyze needs torch and transformers: pip install -e '.[embedded]' in the checkout"
        ) from error
    run = RunDir(run_dir)
    refuse_planted(run_dir)
    config = config_from_json(run.read_config())
    candidate = candidate_model(run)
    if not candidate.is_dir():
        raise RunDirError(f"{candidate}: no trained model yet; make it with: ssd train --run-dir {run_dir}")
    base = base_model(run, config).path
    found, contexts = read_programs(base, config.model, read_tasks(run / layout.HELD_OUT_TASKS))
    if len(found) < 2:
        raise DataError(f"{run / layout.HELD_OUT_TASKS}: two tasks or more need a 'reference' program to read")
    kept = evenly(len(found), programs)
    measured = _measure((base, candidate), [found[i] for i in kept], [contexts[i] for i in kept], config)
    ordinary = _ordinary((base, candidate), documents)
    document = summarise(measured, config.sampling) | {"ordinary": ordinary, "programs_found": len(found)}
    write_json(run / layout.FORKS, document)
    return document


def evenly(total: int, limit: int) -> list[int]:
    """At most `limit` of the positions 0 to `total` - 1, spread evenly: held-out files are often sorted by domain."""
    count = min(total, limit)
    return [index * total // count for index in range(count)]


def _measure(
    models: tuple[Path, Path], programs: Sequence[Program], contexts: Sequence[Sequence[int]], config: RunConfig
) -> list[Measured]:
    """Both models over all programs; they leave the memory with this call."""
    from ssd_plugin.analysis.reading import Reader

    with track("analyze", 2 * len(programs)) as advance:
        before, after = (Reader(model, advance).read(contexts, programs) for model in models)
        return measure_all(programs, before, after, config.sampling)


def _ordinary(models: tuple[Path, Path], documents: int) -> JsonObject | None:
    """Likelihood of code that people wrote for other purposes, paired by document; None when none was asked for."""
    if not documents:
        return None
    texts = [ast.unparse(tree) for tree in corpus.functions("", documents)]
    before, after = (nats_per_character(model, texts) for model in models)
    change = bootstrap_mean([new - old for old, new in zip(before, after, strict=True)])
    figures = {"base": sum(before) / len(before), "candidate": sum(after) / len(after), "change": asdict(change)}
    return {"documents": len(texts), "nats_per_character": figures}
