"""What all recipes of the paper (arXiv:2604.01193) share, and the function that makes one from a model's own numbers."""

from dataclasses import dataclass
from typing import Literal

from ssd_plugin.config.schema import (
    DataConfig,
    DecodeConfig,
    EngineConfig,
    EvaluateConfig,
    FilterConfig,
    ModelConfig,
    ParallelConfig,
    RunConfig,
    SamplingConfig,
    SelectConfig,
    TrainConfig,
)

SYSTEM_MESSAGE = "You are a helpful assistant."  # the paper says "a system message" without its text

# Paper: rStar-Coder's seed problems, exact de-duplication on the whitespace-normalised statement, ~10,168 problems.
# De-duplication alone leaves more than 30,000; with the rows that passed their tests it is 10,167 (apple/ml-ssd, issue 7).
PROMPTS = DataConfig(
    source="hub:microsoft/rStar-Coder",
    revision="9c523c22b51de15b03b73e102e49d6d42e1cb353",
    config="seed_sft",
    split="train",
    columns="prompt=question,starter_code=starter_code",
    where="is_passed=true",
    deduplicate=True,
)

# The paper chose T_eval on LiveCodeBench v6 itself. We choose it on the v5 window and report v6 only.
DEVELOPMENT = DataConfig(source="livecodebench:v5")
HELD_OUT = DataConfig(source="livecodebench:v6")

CONTEXT = 131_072  # paper: 128K maximum length, prompt and completion together
MAX_NEW_TOKENS = CONTEXT - 4096  # our split of it


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Optimizer steps: in all, of warm-up, and between checkpoints."""

    train_iters: int
    warmup_iters: int
    save_interval: int


INSTRUCT = Schedule(train_iters=2500, warmup_iters=250, save_interval=250)  # paper, instruct models
THINKING = Schedule(train_iters=300, warmup_iters=50, save_interval=50)  # paper, thinking models

SEQUENCE = 65_536  # paper: tokens a training sequence

# Paper: expert parallel 8 for the MoE models. The rest is ours: a step's samples lie end to end in rows of up to SEQUENCE tokens,
# which context parallelism divides into 16,384 (8,192) a GPU: the most that fits without computing anything twice (ssd plan).
DENSE = ParallelConfig(context=4)
MOE = ParallelConfig(context=4, expert=8)
MOE_30B = ParallelConfig(context=8, expert=8)


def recipe(
    *,
    name: str,
    model: str,
    sampling: DecodeConfig,
    evaluation: DecodeConfig,
    base: DecodeConfig,
    schedule: Schedule,
    parallel: ParallelConfig,
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default",
) -> RunConfig:
    """One model of the paper on a node of 8 B200. `sampling` is T_train's setting, `evaluation` the paper's T_eval's, which
    it chose on its test set: we select from a grid around it. `base` is how the base model is usually decoded."""
    around = tuple(round(evaluation.temperature + step / 10, 1) for step in (-2, -1, 0, 1, 2))
    return RunConfig(
        recipe=name,
        model=ModelConfig(ref=model, system_message=SYSTEM_MESSAGE, reasoning_effort=reasoning_effort),
        # Paper: vLLM, tensor parallel 8. The same completions come faster from eight copies; and 768 / 8 = 96 neurons an expert
        # do not load in vLLM before 0.24 (its issue 41360).
        engine=EngineConfig(name="vllm", tensor_parallel=1, data_parallel=8, max_model_len=CONTEXT),
        prompts=PROMPTS,
        sampling=SamplingConfig(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            max_new_tokens=SEQUENCE,  # paper: up to 128K, but what does not fit a training sequence is not trained on
        ),
        filters=FilterConfig(drop_empty=True, drop_single_line_stubs=True),  # paper: these two, nothing else
        train=TrainConfig(
            backend="megatron",  # paper: Megatron-LM
            train_iters=schedule.train_iters,
            warmup_iters=schedule.warmup_iters,
            save_interval=schedule.save_interval,
            max_lr=5e-6,  # paper: cosine decay from here
            min_lr=1e-6,  # paper: to here
            global_batch_size=32,  # paper: sequences
            batch_unit="samples",  # the paper does not say; 2500 x 32 samples are about 7.9 epochs, 300 x 32 about 0.94
            seq_length=SEQUENCE,
            adam_beta1=0.9,  # paper
            adam_beta2=0.95,  # paper
            weight_decay=0.1,  # paper
            parallel=parallel,
        ),
        select=SelectConfig(data=DEVELOPMENT, temperatures=around, top_k=evaluation.top_k, top_p=evaluation.top_p),
        evaluate=EvaluateConfig(
            data=HELD_OUT,
            base=base,
            samples_per_task=10,  # paper
            max_new_tokens=MAX_NEW_TOKENS,
        ),
    )
