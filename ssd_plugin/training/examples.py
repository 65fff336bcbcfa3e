"""Training examples: token ids with the line between prompt and completion, read from the file when they are asked for."""

import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import locate_jsonl
from ssd_plugin.errors import TrainingError

KEYS = ("prompt_token_ids", "completion_token_ids")


@dataclass(frozen=True, kw_only=True)
class Example:
    """`token_ids`: prompt then completion; loss falls on the tokens from `prompt_length` on, and on no other."""

    token_ids: "array[int]"
    prompt_length: int

    @property
    def loss_tokens(self) -> int:
        """How many tokens carry loss."""
        return len(self.token_ids) - self.prompt_length


class Examples:
    """A file of examples. Memory holds where each one stands and how long it is: twelve bytes an example."""

    def __init__(self, path: Path, *, seq_length: int, vocabulary: int) -> None:
        """Check JSON lines with `prompt_token_ids` and `completion_token_ids`.

        Raises:
            TrainingError: no examples, one without prompt or completion, longer than `seq_length`, or with a token
                outside the vocabulary.
            DataError: the file cannot be read or a line is not JSON.
        """
        self._path = path
        self._places = array("q")
        self._lengths = array("i")
        for number, place, row in locate_jsonl(path):
            where = f"{path}:{number}"
            length = sum(len(_token_ids(row, key, where, vocabulary)) for key in KEYS)
            if length > seq_length:
                raise TrainingError(
                    f"{where}: an example of {length} tokens does not fit train.seq_length = {seq_length}; raise that"
                )
            self._places.append(place)
            self._lengths.append(length)
        if not len(self):
            raise TrainingError(f"{path}: holds no examples; nothing can be trained on")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Example:
        with self._path.open("rb") as stream:
            stream.seek(self._places[index])
            line = stream.readline()
        try:
            prompt, completion = map(json.loads(line).__getitem__, KEYS)
        except (ValueError, KeyError) as error:
            raise TrainingError(f"{self._path}: was changed while it was trained on; run again") from error
        return Example(token_ids=array("i", prompt + completion), prompt_length=len(prompt))

    @property
    def lengths(self) -> "array[int]":
        """Tokens of each example, prompt and completion."""
        return self._lengths


def _token_ids(row: dict[str, Any], key: str, where: str, vocabulary: int) -> list[int]:
    ids = row.get(key)
    if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
        raise TrainingError(f"{where}: field '{key}' must be a non-empty list of token ids")
    if min(ids) < 0 or max(ids) >= vocabulary:
        raise TrainingError(f"{where}: field '{key}' holds a token outside the model's vocabulary of {vocabulary}")
    return ids
