"""Stage `sample`: one completion a training prompt from the frozen base, at T_train. Nothing is checked or chosen."""

from contextlib import closing
from dataclasses import asdict

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import write_json
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.samples_file import CompletionJob
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.completions import LoadedModel, complete
from ssd_plugin.pipeline.stages.model import base_model
from ssd_plugin.sampling.protocol import SamplingParams
from ssd_plugin.sampling.tokenizer import read_tokenizer


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write sample/completions.jsonl, in prompt order, and sample/tokenizer.json; a restart keeps what was finished.

    Raises:
        SamplingError, ModelError, ResourceError: as the engine has it.
    """
    settings = config.sampling
    job = CompletionJob(
        label="sample",
        tasks=run / layout.TRAIN_PROMPTS,
        out=run / layout.COMPLETIONS,
        samples_per_task=1,
        params=SamplingParams(
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
        ),
    )
    base = base_model(run, config)
    write_json(run / layout.TOKENIZER, asdict(read_tokenizer(base.path)))
    with closing(LoadedModel(base.path, config, base.digest)) as model:
        counts = complete(job, model)
    share = counts.truncated / counts.completions
    summary = f"{counts.completions} completions, {counts.tokens} tokens, {share:.0%} at the length limit"
    return StageReport(summary=summary, facts=counts.as_facts())
