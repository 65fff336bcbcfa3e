"""Devices: bfloat16 exactly where the processor multiplies it in hardware, and no GPU opened too early."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssd_plugin.device import has_fast_bfloat16, is_out_of_disk, is_out_of_memory, pick_dtype
from ssd_plugin.pipeline import LINE
from ssd_plugin.recipes import load

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "fast"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 sse", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 fma f16c", False),
        ("flags\t\t: fpu avx512f avx512bw", False),
        ("model name\t: bf16 machine", False),
        ("", False),
    ],
)
def test_processor_flags_decide(tmp_path: Path, text: str, fast: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{text}\n")
    assert has_fast_bfloat16(CPU, tmp_path / "cpuinfo") is fast


def test_no_cpuinfo_means_float32(tmp_path: Path) -> None:
    assert not has_fast_bfloat16(CPU, tmp_path / "nosuch")


def test_auto_follows_the_hardware_and_names_are_obeyed() -> None:
    assert pick_dtype("auto", CPU) is (torch.bfloat16 if has_fast_bfloat16(CPU) else torch.float32)
    assert pick_dtype("bfloat16", CPU) is torch.bfloat16
    assert pick_dtype("float32", CPU) is torch.float32


def test_an_allocation_that_cannot_be_is_seen_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_a_full_disk_is_seen_as_such() -> None:
    with pytest.raises(OSError, match="No space") as caught, Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
    assert is_out_of_disk(caught.value)
    with pytest.raises((RuntimeError, OSError)) as torch_error, Path("/dev/full").open("wb") as full:
        torch.save(torch.zeros(100_000), full)
    assert is_out_of_disk(torch_error.value)
    assert not is_out_of_disk(OSError(13, "Permission denied"))


WATCH = """
import importlib, sys
import torch

opened = []
for name in ("is_available", "device_count", "_lazy_init", "get_device_capability", "is_bf16_supported"):
    setattr(torch.cuda, name, lambda *_, name=name, **__: opened.append(name))
for module in sys.argv[1:]:
    importlib.import_module(module)
print(opened)
"""


def test_what_is_imported_before_a_fork_opens_no_gpu() -> None:
    config = load("ssd_smollm2_135m")()
    modules = {module for stage in LINE for module in stage.imports(config)}
    assert modules == {"ssd_plugin.sampling.embedded", "ssd_plugin.training.embedded"}
    found = subprocess.run([sys.executable, "-c", WATCH, *sorted(modules)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
