"""Stage `sample`: one completion a training prompt from the frozen base, at T_train. Nothing is checked or chosen."""

from ssd_plugin.config import RunConfig
from ssd_plugin.rundir import RunDir
from ssd_plugin.sampling.protocol import SamplingParams
from ssd_plugin.stages import StageReport
from ssd_plugin.stages.completions import CompletionJob, complete
from ssd_plugin.stages.model import base_model


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write sample/completions.jsonl, in prompt order; a restart keeps what was finished.

    Raises:
        SamplingError, ModelError, ResourceError: as the engine has it.
    """
    settings = config.sampling
    job = CompletionJob(
        label="sample",
        model=base_model(run, config),
        tasks=run / "prompts/train.jsonl",
        out=run / "sample/completions.jsonl",
        samples_per_task=1,
        params=SamplingParams(
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
        ),
    )
    counts = complete(job, config)
    share = counts.truncated / counts.completions
    summary = f"{counts.completions} completions, {counts.tokens} tokens, {share:.0%} at the length limit"
    return StageReport(summary=summary, facts=counts.as_facts())
