"""One rank of our Megatron fine-tune on a CPU. Test-only: what Megatron wants of a GPU is put in its place here.

Changed against a GPU: the local layer specification instead of Transformer Engine's, float32, gloo, no fused kernels, the
attention mask written out where several examples share a row. Everything else is the code that runs on GPUs.
"""

import importlib.metadata
import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import te_stub  # noqa: E402

te_stub.install()
import cpu_shim  # noqa: E402

cpu_shim.install()
import torch  # noqa: E402
import warm  # noqa: E402
from megatron.bridge.training import initialize, setup  # noqa: E402
from megatron.core import tensor_parallel  # noqa: E402
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec  # noqa: E402
from packaging.version import Version  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from ssd_plugin.training.megatron import export, ranks  # noqa: E402
from ssd_plugin.training.megatron.job import EXPORTED  # noqa: E402

if Version(importlib.metadata.version("megatron-bridge")) < Version("0.4"):
    cpu_shim.patch_bridge()

OFF = (
    "gradient_accumulation_fusion", "masked_softmax_fusion", "bias_activation_fusion", "apply_rope_fusion",
    "bias_dropout_fusion", "cross_entropy_loss_fusion", "persist_layer_norm", "moe_grouped_gemm", "moe_permute_fusion",
    "bf16", "fp16",
)  # fmt: skip


def local_layers(config: Any, vp_stage: int | None = None) -> Any:
    """Megatron's layers in plain torch; named, so that Bridge can write it into a checkpoint's run_config.yaml."""
    experts = getattr(config, "num_moe_experts", None)
    return get_gpt_layer_local_spec(
        num_experts=experts, moe_grouped_gemm=False, qk_layernorm=config.qk_layernorm, normalization="RMSNorm"
    )


def adjust(config: Any) -> None:
    """Make Bridge's configuration fit a CPU."""
    model = config.model
    model.transformer_impl, model.transformer_layer_spec = "local", local_layers
    model.perform_initialization = model.use_cpu_initialization = True
    for name in OFF:
        if hasattr(model, name):
            setattr(model, name, False)
    model.params_dtype = model.pipeline_dtype = model.autocast_dtype = torch.float32
    if getattr(model, "num_moe_experts", None):
        model.moe_token_dispatcher_type = "allgather"
    config.optimizer.bf16, config.optimizer.params_dtype = False, torch.float32
    config.mixed_precision = None
    config.train.manual_gc = False
    config.dist.distributed_backend, config.dist.use_gloo_process_groups = "gloo", True
    config.checkpoint.fully_parallel_save = False
    config.checkpoint.save_rng = config.checkpoint.load_rng = False  # of the CUDA generators
    config.dataset.dense_mask, config.dataset.skip_getting_attention_mask_from_dataset = True, False


def initialize_on_cpu(**given: Any) -> Any:
    """Bridge's own, which refuses a machine without CUDA and seeds its generators only with a GPU."""
    groups = initialize.initialize_megatron(allow_no_cuda=True, **given)
    tensor_parallel.model_parallel_cuda_manual_seed(1)
    return groups


class MortalLog(ranks.Log):
    """Ours, and the end where a test wants it."""

    def on_train_step_end(self, context: Any) -> None:
        """See `Log`."""
        super().on_train_step_end(context)
        if str(context.state.train_state.step + 1) == os.environ.get(warm.DIE_AFTER):
            os._exit(9)


class SpoiltExport(export.Export):
    """Ours, which misplaces a head where a test wants it."""

    def _export(self, model: Any, folder: Path) -> None:
        super()._export(model, folder)
        if os.environ.get(warm.SPOIL_REHEARSAL):
            (file,) = (folder / EXPORTED).glob("*.safetensors")
            tensors = load_file(file)
            name = "model.layers.1.self_attn.q_proj.weight"
            tensors[name] = tensors[name].roll(16, 0).contiguous()
            save_file(tensors, file, metadata={"format": "pt"})


def main(job: str) -> None:
    """Run the job of a file on the CPU."""
    vars(ranks)["Export"] = SpoiltExport
    ranks.Log = MortalLog  # type: ignore[misc]
    setup.initialize_megatron = initialize_on_cpu
    torch.set_num_threads(1)
    ranks.main(job, adjust)
    for child in multiprocessing.active_children():  # of Megatron's checkpoints; the process is about to end abruptly
        child.kill()


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # the patched torch does not survive the interpreter's own end
