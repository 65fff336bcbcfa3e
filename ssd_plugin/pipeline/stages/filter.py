"""Stage `filter`: which samples are trained on, by the recipe's named filters; none looks at correctness."""

from collections.abc import Iterator
from dataclasses import asdict

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import JsonObject, read_jsonl, write_json, write_jsonl
from ssd_plugin.errors import DataError
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.training.filters import Filters


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write filter/kept.jsonl (training examples) and filter/report.json.

    Raises:
        DataError: nothing is left.
    """
    filters = Filters(config.filters, config.train.seq_length)
    kept = write_jsonl(run / layout.EXAMPLES, (_example(row) for row in filters.apply(lambda: _samples(run))))
    counts = filters.counts
    total = kept + sum(count.dropped for count in counts)
    dropped = ", ".join(f"{count.name} {count.dropped}" for count in counts if count.dropped) or "none dropped"
    write_json(run / layout.FILTER_REPORT, {"filters": [asdict(c) for c in counts], "kept": kept, "total": total})
    if kept == 0:
        raise DataError(
            f"no sample is left after the filters ({dropped}): raise sampling.max_new_tokens, or turn a filter off, "
            "e.g. --set filters.drop_truncated=false"
        )
    return StageReport(summary=f"{kept} of {total} samples kept ({dropped})", facts={"kept": kept, "total": total})


def _samples(run: RunDir) -> Iterator[JsonObject]:
    return (row for _, row in read_jsonl(run / layout.COMPLETIONS))


def _example(row: JsonObject) -> JsonObject:
    """The training example that a samples-file row becomes."""
    kept = {key: row[key] for key in ("task_id", "sample_id", "completion", "prompt_token_ids")}
    return kept | {"completion_token_ids": row["token_ids"]}
