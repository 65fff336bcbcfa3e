"""Which device and number format a model runs in. Imported only where torch is already needed."""

import errno
from pathlib import Path

import torch

CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Linux names of bfloat16 instructions (x86, x86, Arm): without one of them bfloat16 is emulated and slower than float32."""


def pick_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def has_fast_bfloat16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the device multiplies bfloat16 in hardware. An unreadable `cpuinfo` counts as no."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
    return bool(flags & CPU_BF16_FLAGS)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`float32`, `bfloat16`, or for `auto` bfloat16 exactly where the device has it."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def load_quietly() -> None:
    """Stop transformers' own progress bars: the pipeline has one of its own, and CI logs need none."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch (GPU or CPU allocator, a weights file that cannot be mapped), Python or the system ran out of memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "Cannot allocate memory")
    )


def is_out_of_disk(error: BaseException) -> bool:
    """Whether a file could not be written for want of space; torch's and safetensors' writers say it in words only."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in ("No space left", "PytorchStreamWriter failed", "Disk quota exceeded"))
