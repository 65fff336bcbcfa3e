"""Devices: bfloat16 exactly where the processor multiplies it in hardware, and no GPU opened too early."""

import mmap
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ssd_plugin.methods.ssd import SSD
from ssd_plugin.models.device import has_fast_bfloat16, is_out_of_disk, is_out_of_memory, pick_dtype
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
    with pytest.raises(OSError, match="memory") as refused:
        mmap.mmap(-1, 2**50)
    assert is_out_of_memory(refused.value)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


LIMITED = """
import resource, sys
from pathlib import Path
from ssd_plugin.config.schema import EngineConfig
from ssd_plugin.errors import ResourceError
from ssd_plugin.sampling.embedded import EmbeddedSampler

data = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + int(float(sys.argv[2])), data + 2**40))
try:
    EmbeddedSampler(Path(sys.argv[1]), EngineConfig(name="embedded", dtype="float32", max_rows=4))
except ResourceError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("room", [0.5e8, 1.85e8], ids=["mapping the file", "packing the weights"])
def test_too_little_memory_for_the_weights_is_said_in_one_line(tmp_path: Path, room: float) -> None:
    config = LlamaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=2, num_attention_heads=8, vocab_size=512
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(room)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == f"{tmp_path}: not enough memory to load the model as torch.float32\n"


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
    modules = {module for stage in SSD.pipeline for module in stage.imports(config)}
    assert modules == {"ssd_plugin.sampling.embedded", "ssd_plugin.training.embedded"}
    found = subprocess.run([sys.executable, "-c", WATCH, *sorted(modules)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
