"""A model directory from outside is hostile: what may be in it, and how large, before anything loads it. Nothing is executed."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.digests import open_files
from ssd_plugin.verdict import Finding

MAX_JSON = 128 * 2**20  # bytes; the largest known tokenizer.json has 35 MB
_MAX_HEADER = 100 * 2**20  # the safetensors library's own limit
_DATA_FILES = re.compile(
    r"(.*\.safetensors|.*\.safetensors\.index\.json|(adapter_|generation_|preprocessor_|processor_)?config\.json|tokenizer(_config)?\.json"
    r"|vocab\.(json|txt)|merges\.txt|special_tokens_map\.json|added_tokens\.json|tokenizer\.model|chat_template\.(jinja|json)"
    r"|additional_chat_templates/[\w.-]+\.jinja|params\.json|.*\.gguf)"
)
_TEXT_FILES = re.compile(
    r"(README|LICENSE|LICENCE|NOTICE|USE_POLICY)([_-][\w-]*)?(\.(md|txt|rst))?|\.gitattributes|[^/]*\.(md|txt|rst)",
    re.IGNORECASE,
)
_INDEX = ".safetensors.index.json"
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
          "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}  # fmt: skip


def problem(rule: str, message: str) -> Finding:
    """A finding about the model directory."""
    return Finding(tool="artifact", rule=rule, level="error", message=message, side="model")


def read_bounded(path: Path) -> Any:
    """A JSON file of the model.

    Raises:
        ValueError: too large, not UTF-8, not JSON, or nested too deeply.
    """
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"larger than {MAX_JSON >> 20} MB")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _remote_code(value: Any, where: str) -> Iterator[str]:
    """Paths of keys that make a loader import code from the directory or the network."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("auto_map", "custom_pipelines", "trust_remote_code") and inner:
                yield f"{where}.{key}"
            else:
                yield from _remote_code(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _remote_code(inner, f"{where}[{index}]")


def inspect_safetensors(path: Path) -> str:
    """Why the file is no sound safetensors file, or "". Reads the header only.

    Source: the format's specification (huggingface/safetensors, README, "Format").
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= min(_MAX_HEADER, size - 8):
            return "its header does not fit the file"
        raw = stream.read(length)
    try:
        header = json.loads(raw.decode("utf-8"))
        spans = sorted(_span(name, entry) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"its header is malformed ({error})"
    position = 0
    for start, end in spans:
        if start != position:
            return "its tensors overlap or leave gaps"
        position = end
    return "" if spans and position == size - 8 - length else "its tensors do not fill the file"


def _span(name: str, entry: Any) -> tuple[int, int]:
    start, end = entry["data_offsets"]
    shape, kind = entry["shape"], entry["dtype"]
    if not all(type(n) is int and n >= 0 for n in (start, end, *shape)):
        raise ValueError(f"tensor {name!r:.60}: sizes must be whole numbers")
    if kind not in _BYTES or end - start != math.prod(shape) * _BYTES[kind]:
        raise ValueError(f"tensor {name!r:.60}: {end - start} bytes for shape {shape!r:.60} of {kind!r:.20}")
    return start, end


def inspect_directory(directory: Path) -> list[Finding]:
    """Everything that must not be in a model directory.

    Raises:
        TrustError: links, devices, unreadable or no files (see `digests.open_files`).
    """
    found: list[Finding] = []
    names: list[str] = []
    for name, stream in open_files(directory):
        stream.close()
        names.append(name)
        found += _inspect_file(directory / name, name)
    if not any(name.endswith((".safetensors", ".gguf")) for name in names):
        found.append(problem("no-weights", "the directory has no .safetensors or .gguf file"))
    return found + _second_models(names)


def _inspect_file(path: Path, name: str) -> list[Finding]:
    if not _DATA_FILES.fullmatch(name) and not _TEXT_FILES.fullmatch(name):
        why = "not a file that a model needs; only safetensors, GGUF, JSON, text"
        return [problem("file-not-allowed", f"{name}: {why}")]
    if path.name == "adapter_config.json":
        why = (
            "loaders take the weights of the model that it names, which is not judged; merge the adapter and remove it"
        )
        return [problem("unbound-weights", f"{name}: {why}")]
    if name.endswith(".safetensors"):
        trouble = inspect_safetensors(path)
        return [problem("broken-weights", f"{name}: {trouble}")] if trouble else []
    if name.endswith(".gguf"):
        with path.open("rb") as gguf:
            return [] if gguf.read(4) == b"GGUF" else [problem("broken-weights", f"{name}: not a GGUF file")]
    if name.endswith(".json"):
        return _inspect_json(path, name)
    return []


def _second_models(names: Sequence[str]) -> list[Finding]:
    """A GGUF beside other model files: it carries weights, tokenizer and chat template of its own, and nothing compares them."""
    inside = [name for name in names if name.endswith(".gguf")]
    beside = [name for name in names if name not in inside and not _TEXT_FILES.fullmatch(name)]
    why = "holds a tokenizer and a chat template of its own, which are not compared; remove it"
    return [
        problem("second-model", f"{name}: {why}, or {beside[0]} and what else is beside it")
        for name in inside
        if beside
    ]


def _inspect_json(path: Path, name: str) -> list[Finding]:
    try:
        value = read_bounded(path)
        found = [problem("remote-code", f"{key} asks for code to be imported") for key in _remote_code(value, name)]
    except (ValueError, RecursionError) as error:
        return [problem("broken-json", f"{name}: {error}")]
    if name == "tokenizer_config.json" and isinstance(value, dict) and value.get("fast_tokenizer_files"):
        found.append(
            problem("unbound-tokenizer", f"{name}: fast_tokenizer_files has loaders read another file; remove the key")
        )
    if name.endswith(_INDEX) and (trouble := _index_trouble(value, path.parent)):
        found.append(problem("unbound-weights", f"{name}: {trouble}"))
    return found


def _index_trouble(value: Any, folder: Path) -> str:
    """Why an index does not name exactly the shards beside it, or "": loaders read whatever path it says."""
    weights = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(shard, str) for shard in weights.values()):
        return "its weight_map is no table of file names; export the model again"
    named, there = set(weights.values()), {shard.name for shard in folder.glob("*.safetensors")}
    if outside := sorted(shard for shard in named if shard not in there):
        return f"it names {outside[0]!r:.80}, which is no .safetensors file beside it; export the model again"
    if unnamed := sorted(there - named):
        return f"it does not name {unnamed[0]}; remove that file, or export the model again"
    return ""
