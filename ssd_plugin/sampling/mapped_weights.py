"""Weights that lie in a mapped file: `from_pretrained` hands out tensors that point into it, and every page that was once
read counts as this process's memory until the last of them is gone."""

import ctypes
import mmap
import sys
from pathlib import Path

import torch


class MappedWeights:
    """The safetensors files that are mapped at this moment."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        if sys.platform != "linux":
            return
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.endswith(".safetensors"):
                first, _, last = line.split(maxsplit=1)[0].partition("-")
                self._ranges.append((int(first, 16), int(last, 16)))

    def let_go(self, tensor: torch.Tensor) -> None:
        """Have the kernel take back the pages of a tensor that lies in a mapped file (others are left alone). Whoever looks
        at the tensor again reads them from the file again; what was written to it since it was loaded is lost."""
        begin, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        if not any(first <= begin and end <= last for first, last in self._ranges):
            return
        page = mmap.PAGESIZE
        begin, end = -(-begin // page) * page, end // page * page  # the pages at the ends have neighbours in them
        if begin < end:
            madvise = ctypes.CDLL(None).madvise
            madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)  # a hint: it may fail
