"""What a reader of a harness's files returns: graded items of one task, and the conditions they were graded under."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssd_plugin.core.jsonl import dumps, sha256_json
from ssd_plugin.errors import DataError

# Conditions that every reader names alike; a harness may have more of its own. An empty one is not stated in the files.
VERSION, TASK_VERSION, DECODING = "harness version", "task version", "decoding config"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One graded item. `scores`: by metric, the mean over its samples, as the harness gave them (not checked to be finite).
    `prompt`, `answer`: digests of what the model was asked and of what it said, empty where the files do not hold it.
    `columns`: texts, the same for all its samples, by which items can be told to belong together."""

    scores: Mapping[str, float]
    samples: int
    prompt: str
    answer: str
    columns: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TaskResults:
    """One task of one run of a harness. `where`: the file; `conditions`: text by name, equal for sides that can be compared."""

    harness: str
    task: str
    where: str
    conditions: Mapping[str, str]
    items: Mapping[str, Item]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    scores: Mapping[str, float]
    prompt: str
    answer: str
    columns: Mapping[str, str]


@dataclass(kw_only=True)
class Grades:
    """Collects the samples of a task's items in the order of the file. `where` leads every message."""

    where: str
    _samples: dict[str, dict[str, _Sample]] = field(default_factory=dict)

    def add(
        self,
        item: object,
        sample: object = "",
        *,
        scores: Mapping[str, object],
        prompt: object = None,
        answer: object = None,
        columns: Mapping[str, object] | None = None,
    ) -> None:
        """Enter one graded sample. `scores`: what is no number is left out; true and false count as 1 and 0.

        Raises:
            DataError: the item has no id, or this sample of it was entered before.
        """
        if not isinstance(item, str | int) or item == "":
            raise DataError(f"{self.where}: an item has no id (found {item!r:.40}); each needs one to be paired by")
        of_item = self._samples.setdefault(str(item), {})
        if str(sample) in of_item:
            told = f", sample {str(sample)!r:.40}," if sample != "" else ""
            raise DataError(f"{self.where}: item {str(item)!r:.80}{told} stands there twice; give each result once")
        of_item[str(sample)] = _Sample(
            scores={name: float(value) for name, value in scores.items() if isinstance(value, int | float)},
            prompt="" if prompt is None else sha256_json(prompt),
            answer="" if answer is None else sha256_json(answer),
            columns={name: str(value) for name, value in (columns or {}).items() if isinstance(value, str | int)},
        )

    def items(self) -> dict[str, Item]:
        """The items, each with the mean of its samples.

        Raises:
            DataError: there is none, or the samples of an item have different metrics or prompts.
        """
        if not self._samples:
            raise DataError(f"{self.where}: holds no graded items")
        return {name: self._item(name, list(samples.values())) for name, samples in self._samples.items()}

    def _item(self, name: str, samples: list[_Sample]) -> Item:
        first = samples[0]
        for one in samples[1:]:
            for what, same in (
                ("metrics", one.scores.keys() == first.scores.keys()),
                ("prompts", one.prompt == first.prompt),
            ):
                if not same:
                    raise DataError(f"{self.where}: the samples of item {name!r:.80} have different {what}")
        return Item(
            scores={metric: statistics.fmean(one.scores[metric] for one in samples) for metric in first.scores},
            samples=len(samples),
            prompt=first.prompt,
            answer=sha256_json([one.answer for one in samples]) if first.answer else "",
            columns=dict(set(first.columns.items()).intersection(*(one.columns.items() for one in samples))),
        )


def stated(value: object) -> str:
    """A condition's text: what the files say of it, empty where they say nothing."""
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else dumps(value)
