"""Test-only: runs unmodified megatron-core on a torch without CUDA, over gloo.

What Megatron calls on `torch.cuda` whatever the device gets a CPU meaning, and a literal device "cuda" means "cpu".
"""

import re
from typing import Any

import torch
import torch.distributed
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


def _is_cuda(device: object) -> bool:
    return str(device).startswith("cuda") if isinstance(device, str | torch.device) else False


class CudaMeansCpu(TorchFunctionMode):
    """Tensor factories, `.to` and `.cuda`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `TorchFunctionMode`."""
        kwargs = dict(kwargs or {})
        if _is_cuda(kwargs.get("device")):
            kwargs["device"] = "cpu"
        if func is torch.Tensor.cuda:
            return args[0]
        if (
            func is torch.Tensor.type and len(args) == 1 and not kwargs
        ):  # the optimizer asserts "torch.cuda.FloatTensor"
            return func(args[0]).replace("torch.", "torch.cuda.", 1)
        if func is torch.Tensor.to:
            args = tuple("cpu" if _is_cuda(a) else a for a in args)
        return func(*args, **kwargs)


class NoStream:
    """A stream or event: everything happens at once."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "NoStream":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, _: str) -> Any:
        return lambda *args, **kwargs: self


def install() -> None:
    """Put the CPU meanings in place, for the rest of the process."""
    cuda: Any = torch.cuda
    cuda.current_device = lambda: CPU  # Megatron uses it as device=... alone
    cuda.synchronize = lambda *args, **kwargs: None
    cuda.get_rng_state = cuda.random.get_rng_state = lambda *args, **kwargs: torch.get_rng_state()
    cuda.set_rng_state = cuda.random.set_rng_state = lambda state, *args, **kwargs: torch.set_rng_state(state)
    cuda.manual_seed = torch.manual_seed
    cuda.Stream = cuda.Event = NoStream
    cuda.stream = cuda.current_stream = cuda.default_stream = lambda *args: NoStream()
    tensor: Any = torch.Tensor
    tensor.record_stream = lambda self, stream: None
    _patch_megatron()
    _patch_gloo()
    mode: Any = CudaMeansCpu()
    mode.__enter__()


def _patch_megatron() -> None:
    from megatron.core.tensor_parallel import random
    from megatron.core.transformer.moe import moe_utils

    random._set_cuda_rng_state = lambda state, *args, **kwargs: torch.set_rng_state(state)
    if not hasattr(moe_utils, "te_general_gemm"):  # a name that megatron-core 0.16.1 leaves undefined without TE
        moe_utils.te_general_gemm = None
    _patch_optimizer()


def _patch_optimizer() -> None:
    """torch's own AdamW has no step count before its first step, which Megatron asks for when it loads a checkpoint; and each
    parameter has a count of its own, of which Megatron restores the group's alone."""
    from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

    state_dict = DistributedOptimizer.state_dict

    def with_state(self: Any) -> Any:
        if not self.optimizer.state:
            self._init_optimizer_states_with_dummy_values()
        return state_dict(self)

    load_state_dict = DistributedOptimizer.load_state_dict

    def with_own_counts(self: Any, state: Any) -> None:
        load_state_dict(self, state)
        for group in self.optimizer.param_groups:
            if group.get("step") is not None:
                for parameter in group["params"]:
                    self.optimizer.state[parameter]["step"] = torch.tensor(float(group["step"]))

    DistributedOptimizer.state_dict, DistributedOptimizer.load_state_dict = with_state, with_own_counts


def _patch_gloo() -> None:
    """gloo's scatter silently sends the wrong numbers of chunks that are not contiguous (row-parallel weights)."""
    distributed: Any = torch.distributed
    scatter = distributed.scatter

    def contiguous(tensor: Any, chunks: Any = None, *args: Any, **kwargs: Any) -> Any:
        return scatter(tensor, [c.contiguous() for c in chunks] if chunks else chunks, *args, **kwargs)

    distributed.scatter = contiguous


def patch_bridge() -> None:
    """Megatron-Bridge 0.3.1 numbers experts over all ranks only where they are grouped into one product, as on GPUs. Held one
    by one, as on a CPU, every rank would load the first ranks' experts, and none could be exported."""
    from megatron.bridge.models.conversion import model_bridge, param_mapping
    from megatron.core import parallel_state

    to_global, mapping = model_bridge._megatron_local_name_to_global, param_mapping.MegatronParamMapping
    gather = mapping.gather_from_ep_ranks
    expert = re.compile(r"(?<=\.local_experts\.)\d+")

    def numbered(models: Any, config: Any, name: str, *rest: Any, **named: Any) -> str:
        name = to_global(models, config, name, *rest, **named)
        ranks, rank = (
            parallel_state.get_expert_model_parallel_world_size(),
            parallel_state.get_expert_model_parallel_rank(),
        )
        return expert.sub(lambda local: str(int(local[0]) + config.num_moe_experts // ranks * rank), name)

    def gathered(self: Any, *given: Any) -> Any:
        name, number = self.megatron_param, expert.search(self.megatron_param)
        self.megatron_param = f"{name}{number[0]}" if number else name  # as grouped experts are named: "weight7"
        try:
            return gather(self, *given)
        finally:
            self.megatron_param = name

    model_bridge._megatron_local_name_to_global, mapping.gather_from_ep_ranks = numbered, gathered
