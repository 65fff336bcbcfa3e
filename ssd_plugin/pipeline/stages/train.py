"""Stage `train`: plain cross-entropy on the model's own raw completions."""

import math

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.core.jsonl import read_json
from ssd_plugin.core.stage_timing import spent
from ssd_plugin.errors import TrainingError
from ssd_plugin.pipeline.run_directory import RunDir
from ssd_plugin.pipeline.stages import StageReport
from ssd_plugin.pipeline.stages.model import base_model, candidate_model
from ssd_plugin.sampling.tokenizer import require_same
from ssd_plugin.training import open_trainer
from ssd_plugin.training.protocol import TrainJob


def run(run: RunDir, config: RunConfig) -> StageReport:
    """Write train/model and train/log.jsonl; a restart resumes from the last checkpoint.

    Raises:
        DependencyError: this interpreter reads the model's tokens differently from the one that sampled.
        TrainingError, ResourceError: from the backend, or the loss is not a number.
    """
    base = base_model(run, config)
    require_same(base.path, read_json(run / layout.TOKENIZER))
    job = TrainJob(
        base_model=base.path,
        base_digest=base.digest,
        examples=run / layout.EXAMPLES,
        work=run / layout.TRAIN,
        output=candidate_model(run),
        seed=config.seed,
        config=config.train,
    )
    with spent("model"):
        done = open_trainer(config.train.backend).train(job)
    if not math.isfinite(done.last_loss):
        raise TrainingError(f"the loss ended at {done.last_loss}: lower train.max_lr")
    summary = (
        f"{done.steps} steps on {done.tokens} completion tokens, loss {done.first_loss:.3f} -> {done.last_loss:.3f}"
    )
    facts = {"steps": done.steps, "tokens": done.tokens, "first_loss": done.first_loss, "last_loss": done.last_loss}
    return StageReport(summary=summary, facts=facts)
