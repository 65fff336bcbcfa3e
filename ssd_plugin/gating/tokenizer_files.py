"""What turns text into tokens, read from a model directory without loading it: vocabulary, added tokens, special tokens."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.gating.model_files import read_bounded
from ssd_plugin.jsonl import sha256_json

_FAST = "tokenizer.json"  # where a directory has it, loaders read it before all others
_VOCABULARY = (_FAST, "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt")
_LISTS = ("additional_special_tokens", "extra_special_tokens")  # of tokens without a role; some savers write named ones
_TABLES = ("model_specific_special_tokens", "extra_special_tokens")  # of tokens by role


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """`files`: digests of vocabulary files. `roles`: by key (`eos_token`, `add_bos_token`), the values it is given, the one that
    loaders take first. `special`: every token that is marked special. `added`: (id, token) of tokens beside the vocabulary."""

    files: Mapping[str, str]
    roles: Mapping[str, list[Any]]
    special: list[str]
    added: list[tuple[int, str]]

    def digest(self) -> str:
        """The one SHA-256 that approves this tokenizer."""
        return sha256_json(asdict(self))


def _document(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file.

    Raises:
        ValueError: too large, or not JSON.
        TypeError: no object.
    """
    value = read_bounded(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise TypeError(f"{path.name}: expected a JSON object")
    return value


def _content(token: Any, where: str) -> str:
    """The text of a token, which savers write as text or as an object with all its flags.

    Raises:
        TypeError: it is neither.
    """
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise TypeError(f"{where}: a token is neither text nor an object with its content")
    return text


def _files(directory: Path, fast: Mapping[str, Any]) -> dict[str, str]:
    """Digests of what is there. Of tokenizer.json, truncation and padding are left out: savers reset them."""
    found = {}
    for name in _VOCABULARY:
        path = directory / name
        if name == _FAST and fast:
            found[name] = sha256_json({key: part for key, part in fast.items() if key not in ("truncation", "padding")})
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _roles(document: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Keys that give a token a role, and the switches and numbers named like them."""
    named = {key: value for key, value in document.items() if key.endswith("_token")}
    for key in _TABLES:
        if isinstance(table := document.get(key), dict):
            named |= table
    for key, value in named.items():
        if value is not None:
            yield key, value if isinstance(value, int | float) else _content(value, where)


def _added(
    config: Mapping[str, Any], fast: Mapping[str, Any], legacy: Mapping[str, Any]
) -> Iterator[tuple[int, str, bool]]:
    """(id, token, whether it is special) of every place that adds tokens to the vocabulary."""
    decoder = config.get("added_tokens_decoder") or {}
    listed = fast.get("added_tokens") or []
    for where, pairs in (
        ("tokenizer_config.json", list(decoder.items())),
        (_FAST, [(entry.get("id"), entry) for entry in listed]),
        ("added_tokens.json", [(number, token) for token, number in legacy.items()]),
    ):
        for number, token in pairs:
            yield int(number), _content(token, where), isinstance(token, dict) and token.get("special") is True


def read_tokenizer(directory: Path) -> TokenizerFacts:
    """What the tokenizer files of a directory say together.

    Raises:
        ValueError, TypeError, AttributeError: a file is too large or malformed.
    """
    config, mapped = (_document(directory / name) for name in ("tokenizer_config.json", "special_tokens_map.json"))
    fast, legacy = _document(directory / _FAST), _document(directory / "added_tokens.json")
    # Without a table of added tokens, loaders let special_tokens_map.json overrule tokenizer_config.json.
    ordered = (config, mapped) if "added_tokens_decoder" in config else (mapped, config)
    roles: dict[str, list[Any]] = {}
    special: set[str] = set()
    for document in ordered:
        for key, value in _roles(document, "special tokens"):
            if value not in roles.setdefault(key, []):
                roles[key].append(value)
            special |= {value} if isinstance(value, str) else set()
        for key in _LISTS:
            tokens = document.get(key)
            special |= {_content(token, key) for token in (tokens if isinstance(tokens, list) else ())}
    added = list(_added(config, fast, legacy))
    special |= {token for _, token, marked in added if marked}
    return TokenizerFacts(
        files=_files(directory, fast),
        roles=roles,
        special=sorted(special),
        added=sorted({(number, token) for number, token, _ in added}),
    )


def differences(new: TokenizerFacts, old: TokenizerFacts) -> list[str]:
    """What of `new` is not as in `old`, in words.

    Savers leave out files that tokenizer.json makes redundant, and switches (`add_bos_token`) that it holds, so where both
    sides have the same tokenizer.json these may be missing. Nothing may be there that the old side does not have.
    """
    fast = _FAST in new.files and new.files[_FAST] == old.files.get(_FAST)
    found = [
        name for name in _VOCABULARY if new.files.get(name) != old.files.get(name) and (name in new.files or not fast)
    ]
    for key in sorted(new.roles.keys() | old.roles.keys()):
        after, before = new.roles.get(key, []), old.roles.get(key, [])
        dropped = fast and not after and all(isinstance(value, bool) for value in before)
        if not dropped and (after[:1] != before[:1] or any(value not in before for value in after)):
            found.append(key)
    by_role = any(key in found for key in (*new.roles, *old.roles))
    found += ["special tokens"] if new.special != old.special and not by_role else []
    return found + (["added tokens"] if new.added != old.added else [])
