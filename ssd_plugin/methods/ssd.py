"""Simple Self-Distillation: sample the frozen base once at T_train, filter by form alone, fine-tune on the raw completions."""

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods.base import Method, Stage


def _check(config: RunConfig) -> None:
    """Refuse the method's fixed point."""
    settings = config.sampling
    if settings.temperature == 1 and settings.top_k == 0 and settings.top_p == 1:
        raise ConfigError(
            "sampling.temperature = 1 without truncation is a fixed point (the expected gradient is zero, so training "
            "changes nothing); set another temperature, or top_k, or top_p below 1"
        )


SAMPLE = Stage(
    name="sample",
    reads=(layout.TRAIN_PROMPTS, layout.BASE_MODEL),
    writes=(layout.COMPLETIONS, layout.TOKENIZER),
    settings=lambda c: [c.seed, c.model, c.engine, c.sampling, c.container.sample],
    uses=("engine",),
    command=True,
)
FILTER = Stage(
    name="filter",
    reads=(layout.COMPLETIONS,),
    writes=(layout.EXAMPLES, layout.FILTER_REPORT),
    settings=lambda c: [c.filters, c.train.seq_length],
)
TRAIN = Stage(
    name="train",
    reads=(layout.EXAMPLES, layout.BASE_MODEL, layout.TOKENIZER),
    writes=(layout.CANDIDATE_MODEL, layout.TRAINING_LOG),
    settings=lambda c: [c.seed, c.model, c.train, c.container.train],
    uses=("trainer",),
    command=True,
)

SSD = Method(
    name="ssd",
    candidate="SSD",
    stages=(SAMPLE, FILTER, TRAIN),
    trained_on=layout.EXAMPLES,
    told=(layout.FILTER_REPORT,),
    check=_check,
)
