"""A model directory from outside is hostile: what may be in it, and how large, before anything loads it. Nothing is executed."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.core.digests import open_files
from ssd_plugin.core.jsonl import unique_names
from ssd_plugin.gating.config_files import remote_parts
from ssd_plugin.gating.safetensors_files import inspect_safetensors, read_tensors
from ssd_plugin.gating.verdict import Finding

MAX_JSON = 128 * 2**20  # bytes; the largest known tokenizer.json has 35 MB
_MAX_TEXT = 16 * 2**20  # bytes of a README, a licence
_MAX_FILES = 2000
_DATA_FILES = re.compile(
    r"([\w.-]+\.safetensors|model\.safetensors\.index\.json|(adapter_|generation_|preprocessor_|processor_)?config\.json|tokenizer(_config)?\.json"
    r"|vocab\.(json|txt)|merges\.txt|special_tokens_map\.json|added_tokens\.json|tokenizer\.model|chat_template\.(jinja|json)"
    r"|additional_chat_templates/[\w.-]+\.jinja|params\.json|[\w.-]+\.gguf)",
    re.ASCII,
)
_TEXT_FILES = re.compile(
    r"(README|LICENSE|LICENCE|NOTICE|USE_POLICY)([_-][\w-]*)?(\.(md|txt|rst))?|\.gitattributes|[^/]*\.(md|txt|rst)",
    re.IGNORECASE,
)
_INDEX = "model.safetensors.index.json"


def problem(rule: str, message: str) -> Finding:
    """A finding about the model directory."""
    return Finding(tool="artifact", rule=rule, level="error", message=message, side="model")


def read_bounded(path: Path) -> Any:
    """A JSON file of the model.

    Raises:
        ValueError: too large, not UTF-8 as loaders read it (no byte-order mark), not JSON, nested too deeply, or a name is in
            an object twice.
    """
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"larger than {MAX_JSON >> 20} MB")
    try:
        return json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=unique_names)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def inspect_directory(directory: Path, holder: int = 0) -> list[Finding]:
    """Everything that must not be in a model directory. `holder`: as for `digests.open_files`.

    Raises:
        TrustError: links, devices, unreadable or no files (see `digests.open_files`).
    """
    names: list[str] = []
    for name, stream in open_files(directory, holder):
        stream.close()
        names.append(name)
    if len(names) > _MAX_FILES:
        return [problem("file-not-allowed", f"the directory has more than {_MAX_FILES} files")]
    found = [one for name in names for one in _inspect_file(directory / name, name)]
    if not any(re.fullmatch(r"[^/]+\.(safetensors|gguf)", name) for name in names):
        found.append(problem("no-weights", "the directory has no .safetensors or .gguf file"))
    if not any(name.endswith(".gguf") for name in names):  # which has all in one
        found += _without_configuration(directory, names)
    found += _second_models(names) + _same_names(names)
    return found or _second_tensors(directory, names)


def _without_configuration(directory: Path, names: Sequence[str]) -> list[Finding]:
    """Without its architecture a loader cannot build the model, or takes another's from elsewhere."""
    if "config.json" not in names:
        return [problem("no-config", "the directory has no config.json, so nothing says which model its weights are")]
    try:
        config = read_bounded(directory / "config.json")
    except ValueError:
        return []  # said of the file itself
    if not isinstance(config, dict) or not (config.get("model_type") or config.get("architectures")):
        return [problem("no-config", "config.json: names neither model_type nor architectures; export the model again")]
    return []


def _same_names(names: Sequence[str]) -> list[Finding]:
    """Files that are one where upper and lower case or the forms of a letter make no difference."""
    folded = [unicodedata.normalize("NFKC", name).casefold() for name in names]
    counts = Counter(folded)
    twice = [name for name, key in zip(names, folded, strict=True) if counts[key] > 1]
    return [
        problem("second-file", f"{ascii(name)[1:-1]}: another file has the same name but for case") for name in twice
    ]


def _second_tensors(directory: Path, names: Sequence[str]) -> list[Finding]:
    """A tensor in two shards: loaders differ in which one they take."""
    places: dict[str, str] = {}
    for shard in (name for name in names if name.endswith(".safetensors")):
        for tensor in read_tensors(directory / shard):
            if tensor in places:
                why = f"{shard}: holds the tensor {tensor!r:.60} as {places[tensor]} does; export the model again"
                return [problem("second-model", why)]
            places[tensor] = shard
    return []


def _inspect_file(path: Path, name: str) -> list[Finding]:
    if not _DATA_FILES.fullmatch(name) and not _TEXT_FILES.fullmatch(name):
        why = "not a file that a model needs; only safetensors, GGUF, JSON, text"
        return [problem("file-not-allowed", f"{name}: {why}")]
    limit = _MAX_TEXT if not _DATA_FILES.fullmatch(name) else MAX_JSON
    if not name.endswith((".safetensors", ".gguf")) and path.stat().st_size > limit:
        return [problem("too-large", f"{name}: larger than {limit >> 20} MB; remove it or make it smaller")]
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
        problem("second-model", f"{name}: {why}, or {(beside + inside)[0]} and what else is beside it")
        for name in inside
        if beside or len(inside) > 1
    ] + _unindexed(names)


def _unindexed(names: Sequence[str]) -> list[Finding]:
    """Weights beside weights without an index: some loaders take all of them, the last one winning, others the first."""
    weights = [name for name in names if name.endswith(".safetensors")]
    if len(weights) < 2 or _INDEX in names:
        return []
    why = f"is there beside {weights[0]}, and no index says which is the model; remove it or export the model again"
    return [problem("second-model", f"{name}: {why}") for name in weights[1:]]


def _inspect_json(path: Path, name: str) -> list[Finding]:
    try:
        value = read_bounded(path)
        found = [problem("remote-code", part) for part in remote_parts(value, name)]
    except (ValueError, RecursionError) as error:
        return [problem("broken-json", f"{name}: {error}")]
    if name == "tokenizer_config.json" and isinstance(value, dict) and value.get("fast_tokenizer_files"):
        found.append(
            problem("unbound-tokenizer", f"{name}: fast_tokenizer_files has loaders read another file; remove the key")
        )
    if name == _INDEX and (trouble := _index_trouble(value, path.parent)):
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
