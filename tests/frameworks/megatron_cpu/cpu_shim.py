"""Test-only: runs unmodified megatron-core on a torch without CUDA, over gloo.

What Megatron calls on `torch.cuda` whatever the device gets a CPU meaning, and a literal device "cuda" means "cpu".
"""

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
    """torch's own AdamW has no step count before its first step, which Megatron asks for when it loads a checkpoint."""
    from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

    state_dict = DistributedOptimizer.state_dict

    def with_state(self: Any) -> Any:
        if not self.optimizer.state:
            self._init_optimizer_states_with_dummy_values()
        return state_dict(self)

    DistributedOptimizer.state_dict = with_state


def _patch_gloo() -> None:
    """gloo's scatter silently sends the wrong numbers of chunks that are not contiguous (row-parallel weights)."""
    distributed: Any = torch.distributed
    scatter = distributed.scatter

    def contiguous(tensor: Any, chunks: Any = None, *args: Any, **kwargs: Any) -> Any:
        return scatter(tensor, [c.contiguous() for c in chunks] if chunks else chunks, *args, **kwargs)

    distributed.scatter = contiguous
