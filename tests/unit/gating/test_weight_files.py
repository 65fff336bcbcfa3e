"""Weights that no loader should take: unsound headers, numbers that are none, a second model; and what makes a candidate."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssd_plugin.core.digests import model_digests
from ssd_plugin.gating.interim_looks import weights_identity
from ssd_plugin.gating.model_files import inspect_directory
from ssd_plugin.gating.safetensors_files import inspect_safetensors


def raw(path: Path, header: bytes, body: bytes) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)
    return path


def one(path: Path, dtype: str, body: bytes, width: int) -> Path:
    shape = [len(body) // width]
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(body)]}})
    return raw(path, header.encode(), body)


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("F64", "3ff0000000000000", ["7ff0000000000000", "fff0000000000000", "7ff8000000000001"]),
        ("F32", "3f800000", ["7f800000", "ff800000", "7fc00000", "ffffffff"]),
        ("BF16", "7f7f", ["7f80", "ff80", "7fc0"]),
        ("F16", "7bff", ["7c00", "fc00", "7e00"]),
        ("F8_E4M3", "7e", ["7f", "ff"]),
        ("F8_E5M2", "7b", ["7c", "fc", "7d"]),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path: Path, dtype: str, good: str, bad: list[str]) -> None:
    value = bytes.fromhex(good)[::-1]
    count = (9 << 20) // len(value)  # more than is read at once
    path = tmp_path / "model.safetensors"
    assert inspect_safetensors(one(path, dtype, value * count, len(value))) == ""
    for text in bad:
        for place in (0, count // 2, count - 1):
            body = bytearray(value * count)
            body[place * len(value) : (place + 1) * len(value)] = bytes.fromhex(text)[::-1]
            assert "no finite numbers" in inspect_safetensors(one(path, dtype, bytes(body), len(value)))


@pytest.mark.parametrize(
    "header",
    [
        b'{"w":{"dtype":"I32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"__metadata__":{"a":[1]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"__metadata__":"text","w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"__metadata__":{"a":"1","a":"2"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'\n{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}',
        b'{"w":{"dtype":"F32","shape":NaN,"data_offsets":[0,8]}}',
        b'{"w":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}',
    ],
)
def test_headers_that_the_format_s_library_or_another_reader_refuses(tmp_path: Path, header: bytes) -> None:
    assert inspect_safetensors(raw(tmp_path / "model.safetensors", header, bytes(8)))


def tensors(**changes: Any) -> dict[str, Any]:
    return {"a": np.ones((2, 3), np.float32), "b": np.full(4, 2, np.float16)} | changes


def folder_with(folder: Path, **changes: Any) -> None:
    folder.mkdir()
    save_file(tensors(**changes), folder / "model.safetensors")


def shards(folder: Path, parts: dict[str, dict[str, Any]]) -> None:
    (folder / "model.safetensors").unlink(missing_ok=True)
    for name, part in parts.items():
        save_file(part, folder / name)
    table = {tensor: name for name, part in parts.items() for tensor in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(tensors(), folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (lambda m: save_file(tensors(), m / "zz.safetensors"), "second-model"),
        (lambda m: save_file(tensors(), m / "consolidated.safetensors"), "second-model"),
        (lambda m: save_file(tensors(), m / "Model.safetensors"), "second-file"),
        (lambda m: folder_with(m / "sub"), "file-not-allowed"),
        (lambda m: (m / "x.safetensors.index.json").write_text("{}"), "file-not-allowed"),
        (lambda m: (m / "a.gguf").write_bytes(b"GGUF"), "second-model"),
        (lambda m: shards(m, {"1.safetensors": tensors(), "2.safetensors": {"a": tensors()["a"]}}), "second-model"),
        (lambda m: (m / "model.onnx").write_bytes(b"x"), "file-not-allowed"),
        (lambda m: (m / "weights.pt").write_bytes(b"x"), "file-not-allowed"),
        (lambda m: (m / "ｃonfig.json").write_text("{}"), "file-not-allowed"),
        (lambda m: (m / "README.MD").touch() or (m / "readme.md").touch(), "second-file"),
        (lambda m: (m / "README.md").write_bytes(bytes((16 << 20) + 1)), "too-large"),
        (lambda m: (m / "merges.txt").write_bytes(bytes((128 << 20) + 1)), "too-large"),
        (lambda m: (m / "tokenizer.model").write_bytes(bytes((128 << 20) + 1)), "too-large"),
    ],
)
def test_a_second_model_or_a_file_without_bounds_is_refused(
    model: Path, plant: Callable[[Path], Any], rule: str
) -> None:
    assert inspect_directory(model) == []
    plant(model)
    assert rule in {finding.rule for finding in inspect_directory(model)}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: (m / "README.md").write_text("more"),
        lambda m: (m / "config.json").write_text('{"a": 1}'),
        lambda m: save_file({"pad": np.ones(3, np.float32)}, m / "pad.safetensors"),
        lambda m: (m / "pad.safetensors").write_bytes(b"no weights"),
        lambda m: save_file(tensors(pad=np.ones(3, np.float32)), m / "model.safetensors"),
        lambda m: save_file(tensors(), m / "model.safetensors", {"note": "other metadata"}),
        lambda m: (m / "model.safetensors").rename(m / "renamed.safetensors"),
        lambda m: shards(m, {"1.safetensors": {"a": tensors()["a"]}, "2.safetensors": {"b": tensors()["b"]}}),
        lambda m: folder_with(m / "more", a=np.zeros(9)),
    ],
)
def test_padding_makes_no_new_candidate(model: Path, tmp_path: Path, change: Callable[[Path], Any]) -> None:
    baseline = tmp_path / "baseline"
    baseline.mkdir()
    save_file(tensors(a=np.zeros((2, 3), np.float32)), baseline / "model.safetensors")
    before = weights_identity(model, model_digests(model), baseline)
    change(model)
    assert weights_identity(model, model_digests(model), baseline) == before
    save_file(tensors(a=np.full((2, 3), 7, np.float32)), model / "model.safetensors")
    assert weights_identity(model, model_digests(model), baseline) != before, "other weights are another candidate"
