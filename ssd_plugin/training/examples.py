"""Training examples: token ids with the line between prompt and completion, held as flat arrays."""

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssd_plugin.errors import TrainingError
from ssd_plugin.jsonl import read_jsonl


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
    """A file of examples in memory, four bytes a token."""

    def __init__(self, path: Path, *, seq_length: int, vocabulary: int) -> None:
        """Read JSON lines with `prompt_token_ids` and `completion_token_ids`.

        Raises:
            TrainingError: no examples, one without prompt or completion, longer than `seq_length`, or with a token
                outside the vocabulary.
            DataError: the file cannot be read or a line is not JSON.
        """
        self._tokens = array("i")
        self._starts = array("q", [0])
        self._prompt_lengths = array("i")
        for number, row in read_jsonl(path):
            where = f"{path}:{number}"
            prompt, completion = (
                _token_ids(row, key, where, vocabulary) for key in ("prompt_token_ids", "completion_token_ids")
            )
            if (length := len(prompt) + len(completion)) > seq_length:
                raise TrainingError(
                    f"{where}: an example of {length} tokens does not fit train.seq_length = {seq_length}; raise that"
                )
            self._tokens.extend(prompt)
            self._tokens.extend(completion)
            self._starts.append(len(self._tokens))
            self._prompt_lengths.append(len(prompt))
        if not len(self):
            raise TrainingError(f"{path}: holds no examples; nothing can be trained on")

    def __len__(self) -> int:
        return len(self._prompt_lengths)

    def __getitem__(self, index: int) -> Example:
        tokens = self._tokens[self._starts[index] : self._starts[index + 1]]
        return Example(token_ids=tokens, prompt_length=self._prompt_lengths[index])

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, prompt and completion."""
        return [self._starts[i + 1] - self._starts[i] for i in range(len(self))]


def _token_ids(row: dict[str, Any], key: str, where: str, vocabulary: int) -> list[int]:
    ids = row.get(key)
    if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
        raise TrainingError(f"{where}: field '{key}' must be a non-empty list of token ids")
    if min(ids) < 0 or max(ids) >= vocabulary:
        raise TrainingError(f"{where}: field '{key}' holds a token outside the model's vocabulary of {vocabulary}")
    return ids
