"""Safetensors files read without loading them: is the header sound, are all numbers finite, which tensors are there.

Source of the format: huggingface/safetensors, README, "Format".
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ssd_plugin.core.jsonl import unique_names

_MAX_HEADER = 100 * 2**20  # the safetensors library's own limit
_CHUNK = 4 << 20  # bytes read at once
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
          "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}  # fmt: skip
# By type: the bits without the sign as a whole number, and the first of these that is no finite number.
_FINITE: Mapping[str, tuple[str, int, int]] = {
    "F64": ("<u8", 2**63 - 1, 0x7FF << 52),
    "F32": ("<u4", 2**31 - 1, 0xFF << 23),
    "BF16": ("<u2", 2**15 - 1, 0xFF << 7),
    "F16": ("<u2", 2**15 - 1, 0x1F << 10),
    "F8_E5M2": ("<u1", 0x7F, 0x7C),
    "F8_E4M3": ("<u1", 0x7F, 0x7F),  # has no infinity
    "F8_E8M0": ("<u1", 0xFF, 0xFF),  # has no sign
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Where a tensor's bytes are in its file: from `start` up to `end`."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name, in the order of their bytes.

    Raises:
        ValueError: says why the file is no sound safetensors file.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise ValueError("its header does not fit the file")
        raw = stream.read(length)
    if not raw.startswith(b"{"):  # the format's own rule, which its library does not keep to
        raise ValueError("its header is malformed (it does not begin with {)")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique_names)
        found = {name: _tensor(name, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its header is malformed ({error})") from None
    position = 8 + length
    tensors = dict(sorted(found.items(), key=lambda item: (item[1].start, item[1].end)))
    for tensor in tensors.values():
        if tensor.start != position:
            raise ValueError("its tensors overlap or leave gaps")
        position = tensor.end
    if not found or position != size:
        raise ValueError("its tensors do not fill the file")
    return tensors


def _tensor(name: str, entry: Any, body: int) -> Tensor:
    start, end = entry["data_offsets"]
    shape, kind = entry["shape"], entry["dtype"]
    if not all(type(n) is int and n >= 0 for n in (start, end, *shape)):
        raise ValueError(f"tensor {name!r:.60}: sizes must be whole numbers")
    if kind not in _BYTES or end - start != math.prod(shape) * _BYTES[kind]:
        raise ValueError(f"tensor {name!r:.60}: {end - start} bytes for shape {shape!r:.60} of {kind!r:.20}")
    return Tensor(dtype=kind, shape=tuple(shape), start=body + start, end=body + end)


def inspect_safetensors(path: Path) -> str:
    """Why the file is no sound safetensors file with finite numbers only, or ""."""
    try:
        tensors = read_tensors(path)
        with safe_open(path, framework="np"):  # what loads it has the last word on its header
            pass
    except (ValueError, SafetensorError) as error:
        return str(error)
    with ThreadPoolExecutor(os.cpu_count()) as pool, path.open("rb") as file:
        finite = pool.map(partial(_is_finite, file.fileno()), tensors.values())
        bad = next((name for name, good in zip(tensors, finite, strict=True) if not good), None)
    return "" if bad is None else f"tensor {bad!r:.60} holds values that are no finite numbers"


def _is_finite(descriptor: int, tensor: Tensor) -> bool:
    if tensor.dtype not in _FINITE:
        return True
    kind, mask, first = _FINITE[tensor.dtype]
    for position in range(tensor.start, tensor.end, _CHUNK):
        chunk = os.pread(descriptor, min(_CHUNK, tensor.end - position), position)
        bits = np.frombuffer(chunk, kind)
        if int(np.bitwise_and(bits, bits.dtype.type(mask)).max()) >= first:
            return False
    return True


def tensor_digests(path: Path, tensors: Mapping[str, Tensor]) -> list[str]:
    """A hex SHA-256 of each tensor: its type, shape and bytes, not its name or place."""

    def digest(tensor: Tensor) -> str:
        found = hashlib.sha256(json.dumps([tensor.dtype, tensor.shape]).encode())
        for position in range(tensor.start, tensor.end, _CHUNK):
            found.update(os.pread(file.fileno(), min(_CHUNK, tensor.end - position), position))
        return found.hexdigest()

    with ThreadPoolExecutor(os.cpu_count()) as pool, path.open("rb") as file:
        return list(pool.map(digest, tensors.values()))
