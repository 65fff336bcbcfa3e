"""GPT-OSS-20B, high reasoning (69.1 -> 74.4 % pass@1 on LiveCodeBench v6 in the second revision of the paper)."""

from ssd_plugin.config import (
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
from ssd_plugin.recipes import paper


def recipe() -> RunConfig:
    """GPT-OSS-20B with high reasoning effort as in arXiv:2604.01193 (revision 2), on one node of 8 B200."""
    return RunConfig(
        recipe="ssd_gpt_oss_20b",
        model=ModelConfig(ref="openai/gpt-oss-20b", system_message="Reasoning: high"),
        engine=EngineConfig(
            name="vllm",
            tensor_parallel=8,  # paper, experimental setup
            max_model_len=131_072,  # paper: 128K maximum length
        ),
        prompts=paper.PROMPTS,
        sampling=SamplingConfig(
            temperature=1.2,  # T_train; paper, revision 2, table of settings
            top_k=0,  # none, same table
            top_p=1.0,  # none, same table
            max_new_tokens=126_976,  # 128K less 4,096 for the prompt (our split; the paper gives the sum)
        ),
        filters=FilterConfig(drop_empty=True, drop_single_line_stubs=True),  # paper: these two, nothing else
        train=TrainConfig(
            backend="megatron",  # paper: Megatron-LM on 8 B200
            train_iters=2500,  # the paper does not say; as its instruct models
            warmup_iters=250,  # the paper does not say; as its instruct models
            save_interval=250,  # the paper does not say; as its instruct models
            max_lr=5e-6,  # paper: peak learning rate
            min_lr=1e-6,  # paper: cosine decay to 1e-6
            global_batch_size=32,  # paper: 32 sequences
            batch_unit="samples",  # the paper does not say; 2500 x 32 samples are about 7.9 epochs
            seq_length=65_536,  # paper: tokens
            adam_beta1=0.9,  # paper
            adam_beta2=0.95,  # paper
            weight_decay=0.1,  # paper
            parallel=ParallelConfig(
                tensor=2,  # ours: the paper states only the expert parallelism
                context=4,  # ours: 65,536 / 4 tokens of activations a GPU
                expert=8,  # paper: expert parallel 8 for the MoE models
                sequence=True,  # ours: goes with tensor parallelism
                recompute="full",  # ours: 65,536-token activations
            ),
        ),
        select=SelectConfig(
            data=paper.DEVELOPMENT,
            temperatures=(0.8, 0.9, 1.0, 1.1, 1.2),  # around the paper's T_eval, 1.0, which it chose on its test set
            top_k=20,  # paper, evaluation
            top_p=0.95,  # paper, evaluation
        ),
        evaluate=EvaluateConfig(
            data=paper.HELD_OUT,
            base=DecodeConfig(temperature=1.0),  # paper, revision 2
            samples_per_task=10,  # paper
            max_new_tokens=126_976,
        ),
    )
