"""What turns text into tokens, read from a model directory without loading it: vocabulary, added and special tokens, class."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import sha256_json
from ssd_plugin.gating.model_files import read_bounded

_FAST = "tokenizer.json"  # where a directory has it, loaders read it before all others
_VOCABULARY = (_FAST, "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt")
_LISTS = ("additional_special_tokens", "extra_special_tokens")  # of tokens without a role; some savers write named ones
_TABLES = ("model_specific_special_tokens", "extra_special_tokens")  # of tokens by role
_FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")  # of an added token: how it is found in a text
_SWITCHES = (
    "add_prefix_space",
    "fix_mistral_regex",
    "split_special_tokens",
)  # of how a text is read; off unless they are on
_PLAIN = "PreTrainedTokenizer"  # reads tokenizer.json as it stands; transformers 5 calls it TokenizersBackend


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """`files`: digests of vocabulary files. `roles`: by key (`eos_token`, `add_bos_token`), the values it is given, the one that
    loaders take first. `special`: every token that is marked special. `added`: (id, token) of tokens beside the vocabulary.
    `flags`: by added or special token, the sets of flags it is given, as with `roles`. `reader`: the class.
    `tokens`: how many different ones the vocabulary has; None where no JSON file lists them."""

    files: Mapping[str, str]
    roles: Mapping[str, list[Any]]
    special: list[str]
    added: list[tuple[int, str]]
    flags: Mapping[str, list[list[str]]]
    reader: str
    tokens: int | None

    def digest(self) -> str:
        """The one SHA-256 that approves this tokenizer."""
        return sha256_json({key: value for key, value in asdict(self).items() if key != "tokens"})


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


def _flags(token: Any, *, special: bool) -> list[str]:
    """The flags of a token that are on; loaders fill in what is not written. `special`: what it is unless it says so itself."""
    given = {key: value for key, value in token.items() if value is not None} if isinstance(token, dict) else {}
    filled = {"special": special} | given
    filled = {"normalized": not filled["special"]} | filled
    return [flag for flag in _FLAGS if filled.get(flag)]


def _roles(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys that give a token a role, with the token as it is written, switches and numbers named like them, and `_SWITCHES`."""
    named = {key: value for key, value in document.items() if key.endswith("_token")}
    named |= {key: document[key] for key in _SWITCHES if document.get(key)}
    for key in _TABLES:
        if isinstance(table := document.get(key), dict):
            named |= table
    yield from ((key, value) for key, value in named.items() if value is not None)


def _special(document: Mapping[str, Any]) -> Iterator[Any]:
    """Tokens that are special by their place in the document, as they are written."""
    yield from (token for _, token in _roles(document) if not isinstance(token, int | float))
    for key in _LISTS:
        if isinstance(tokens := document.get(key), list):
            yield from tokens


def _added(
    config: Mapping[str, Any], fast: Mapping[str, Any], legacy: Mapping[str, Any]
) -> Iterator[tuple[int, str, list[str] | None]]:
    """(id, token, its flags if they are written) of every place that adds tokens to the vocabulary; loaders take the first."""
    decoder = config.get("added_tokens_decoder") or {}
    listed = fast.get("added_tokens") or []
    for where, pairs in (
        ("tokenizer_config.json", list(decoder.items())),
        (_FAST, [(entry.get("id"), entry) for entry in listed]),
        ("added_tokens.json", [(number, token) for token, number in legacy.items()]),
    ):
        for number, token in pairs:
            flags = _flags(token, special=False) if isinstance(token, dict) else None
            yield int(number), _content(token, where), flags


def _tokens(directory: Path, fast: Mapping[str, Any]) -> int | None:
    """How many different tokens the vocabulary lists.

    Raises:
        ValueError, TypeError: it is malformed.
    """
    if not fast and not (directory / "vocab.json").is_file():
        return None
    vocabulary = fast.get("model", {}).get("vocab", ()) if fast else _document(directory / "vocab.json")
    # Unigram models write pairs of a token and its score.
    texts = {token[0] if isinstance(token, list) and token else token for token in vocabulary}
    return len(texts | {_content(token, _FAST) for token in fast.get("added_tokens") or []})


def _reader(config: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """The class that loaders are told to take, "" if none. Releases write it with "Fast" or without and mean the same.

    Raises:
        TypeError: it is no name.
    """
    named = config.get("tokenizer_class") or model.get("tokenizer_class") or ""
    if not isinstance(named, str):
        raise TypeError("tokenizer_class is no name")
    own = named.removesuffix("Fast")
    return _PLAIN if own == "TokenizersBackend" else own


def tokenizer_facts(directory: Path) -> TokenizerFacts:
    """What the tokenizer files of a directory say together.

    Raises:
        ValueError, TypeError, AttributeError: a file is too large or malformed.
    """
    names = ("tokenizer_config.json", "special_tokens_map.json", _FAST, "added_tokens.json", "config.json")
    config, mapped, fast, legacy, model = (_document(directory / name) for name in names)
    # Without a table of added tokens, loaders let special_tokens_map.json overrule tokenizer_config.json.
    ordered = (config, mapped) if "added_tokens_decoder" in config else (mapped, config)
    roles: dict[str, list[Any]] = {}
    special: dict[str, Any] = {}  # by text: the first that is written with flags, else the text
    for document in ordered:
        for key, token in _roles(document):
            value = token if isinstance(token, int | float) else _content(token, "special tokens")
            if value not in roles.setdefault(key, []):
                roles[key].append(value)
        for token in _special(document):
            text = _content(token, "special tokens")
            if not isinstance(special.get(text), dict):
                special[text] = token
    added = list(_added(config, fast, legacy))
    flags: dict[str, list[list[str]]] = {}
    for _, text, given in added:
        if given is not None and given not in flags.setdefault(text, []):
            flags[text].append(given)
        if given is not None and "special" in given:
            special.setdefault(text, text)
    # Where a table has the token, loaders leave the flags beside its role unread.
    for text in {*special, *(token for _, token, _ in added)} - flags.keys():
        flags[text] = [_flags(special.get(text), special=text in special)]
    return TokenizerFacts(
        files=_files(directory, fast),
        roles=roles,
        special=sorted(special),
        added=sorted({(number, text) for number, text, _ in added}),
        flags=flags,
        reader=_reader(config, model),
        tokens=_tokens(directory, fast),
    )


def _other(after: list[Any], before: list[Any]) -> bool:
    """Whether loaders take another value first, or one of them may take a value that was not there."""
    return after[:1] != before[:1] or any(value not in before for value in after)


def differences(new: TokenizerFacts, old: TokenizerFacts) -> list[str]:
    """What of `new` is not as in `old`, in words.

    Savers leave out files that tokenizer.json makes redundant, and switches (`add_bos_token`) that it holds, so where both
    sides have the same tokenizer.json these may be missing, and the class may be the one that reads it as it stands. Nothing
    may be there that the old side does not have.
    """
    fast = _FAST in new.files and new.files[_FAST] == old.files.get(_FAST)
    found = [
        name for name in _VOCABULARY if new.files.get(name) != old.files.get(name) and (name in new.files or not fast)
    ]
    for key in sorted(new.roles.keys() | old.roles.keys()):
        after, before = new.roles.get(key, []), old.roles.get(key, [])
        dropped = fast and not after and all(isinstance(value, bool) for value in before)
        if not dropped and _other(after, before):
            found.append(key)
    by_role = any(key in found for key in (*new.roles, *old.roles))
    found += ["special tokens"] if new.special != old.special and not by_role else []
    found += ["added tokens"] if new.added != old.added else []
    both = sorted(new.flags.keys() & old.flags.keys())
    found += [f"the flags of {token}" for token in both if _other(new.flags[token], old.flags[token])]
    same_reader = new.reader == old.reader or (fast and new.reader == _PLAIN)
    return found + ([] if same_reader else ["tokenizer_class"])
