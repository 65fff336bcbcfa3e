"""Forks and locks of a run: what the fine-tune changed, token by token, on held-out code that people wrote.

Base and candidate read the same reference programs where they would write them (after the task's prompt). A position is
a lock or a fork by the base's own distribution; means are over programs, which are the unit of every interval.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ssd_plugin.analysis.distributions import IntArray, entropy, kept_tokens, loss_terms, restrict, temper, top_mass
from ssd_plugin.analysis.syntax_class import CLASSES
from ssd_plugin.config.schema import SamplingConfig
from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import DataError
from ssd_plugin.metrics.inference import FloatArray, bootstrap_mean

SCHEMA = "ssd-forks/2"
LOCK_ENTROPY, FORK_ENTROPY, TWO_TOKENS = 0.3, 1.0, 0.95
KINDS = ("lock", "fork", "between")
SHOWN_PROGRAMS = 6
BLOCK = 64  # positions worked on together: bounds the memory at large vocabularies
FIGURES = ("entropy", "kept_entropy", "tail", "nll", "support", "reshaping", "alignment", "loss")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A reference program as a model reads it: its code tokens (text and class, "positions") and their ids."""

    task_id: str
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    token_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One program under both models. `figures`: by name, "sides positions" (base, candidate); `kinds`: "positions"."""

    program: Program
    kinds: tuple[str, ...]
    figures: Mapping[str, FloatArray]


def kind(entropies: FloatArray, top_two: FloatArray) -> tuple[str, ...]:
    """Lock: at most 0.3 nats, and the two likeliest tokens hold 0.95. Fork: at least 1 nat, and they do not. Else between."""

    def one(nats: float, mass: float) -> str:
        if nats <= LOCK_ENTROPY and mass >= TWO_TOKENS:
            return "lock"
        return "fork" if nats >= FORK_ENTROPY and mass < TWO_TOKENS else "between"

    return tuple(one(float(nats), float(mass)) for nats, mass in zip(entropies, top_two, strict=True))


def _sides(base: FloatArray, candidate: FloatArray, own: IntArray, sampling: SamplingConfig) -> dict[str, FloatArray]:
    """Every figure of a block of positions, "sides positions"."""
    order, kept = kept_tokens(base, sampling.temperature, sampling.top_k, sampling.top_p)
    log_q = temper(restrict(np.take_along_axis(base, order, axis=1), kept)[0], sampling.temperature)
    rows: dict[str, list[FloatArray]] = {name: [] for name in FIGURES}
    for log_p in (base, candidate):
        drawable = np.take_along_axis(log_p, order, axis=1)
        within, mass = restrict(drawable, kept)
        terms = loss_terms(drawable, log_q, sampling.temperature)
        found = {
            "entropy": entropy(log_p),
            "kept_entropy": entropy(within),
            "tail": np.maximum(0.0, -np.expm1(np.minimum(mass, 0.0))),
            "nll": -np.take_along_axis(log_p, own[:, None], axis=1)[:, 0],
            "support": terms.support,
            "reshaping": terms.reshaping,
            "alignment": terms.alignment,
            "loss": terms.total,
        }
        for name, values in found.items():
            rows[name].append(values)
    return {name: np.stack(values) for name, values in rows.items()}


def measure(program: Program, base: FloatArray, candidate: FloatArray, sampling: SamplingConfig) -> Measured:
    """Figures of one program from both models' log-probabilities, each "positions vocab".

    `tail` is the mass outside the support S that training samples are drawn from; `kept_entropy` is that of p(.|S);
    `nll` is of the program's own token; the loss terms are those of training on draws from the base at T_train.
    """
    own = np.asarray(program.token_ids, dtype=np.int64)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(own), BLOCK)]
    parts = [_sides(base[rows], candidate[rows], own[rows], sampling) for rows in blocks]
    figures = {name: np.concatenate([part[name] for part in parts], axis=1) for name in FIGURES}
    return Measured(program=program, kinds=kind(figures["entropy"][0], top_mass(base, 2)), figures=figures)


def _compare(measured: Sequence[Measured], masks: Sequence[Sequence[bool]]) -> JsonObject | None:
    """Both sides' means over programs of the masked positions, and the paired change; None below two programs."""
    used = [(one, np.asarray(mask)) for one, mask in zip(measured, masks, strict=True) if any(mask)]
    if len(used) < 2:
        return None
    row: JsonObject = {"programs": len(used), "tokens": int(sum(mask.sum() for _, mask in used))}
    for name in FIGURES:
        means = np.array([one.figures[name][:, mask].mean(axis=1) for one, mask in used])
        change = bootstrap_mean(means[:, 1] - means[:, 0], resamples=4000)
        base, candidate = means.mean(axis=0)
        row[name] = {"base": float(base), "candidate": float(candidate), "change": asdict(change)}
    return row


def _view(one: Measured) -> JsonObject:
    figures = one.figures
    tokens = [
        {
            "text": text,
            "kind": kind_,
            "class": class_,
            "gain": float(nll[0] - nll[1]),
            "entropy": [float(e) for e in nats],
        }
        for text, kind_, class_, nll, nats in zip(
            one.program.texts, one.kinds, one.program.classes, figures["nll"].T, figures["entropy"].T, strict=True
        )
    ]
    return {"task_id": one.program.task_id, "tokens": tokens}


def summarise(measured: Sequence[Measured], sampling: SamplingConfig) -> JsonObject:
    """The document of analysis/forks.json.

    Raises:
        DataError: fewer than two programs, so that nothing can be said about their spread.
    """
    everything = _compare(measured, [[True] * len(one.kinds) for one in measured])
    if everything is None:
        raise DataError("forks and locks need two programs or more: give the held-out tasks a 'reference'")
    kinds = {name: _compare(measured, [[k == name for k in one.kinds] for one in measured]) for name in KINDS}
    classes = {
        name: _compare(measured, [[c == name for c in one.program.classes] for one in measured]) for name in CLASSES
    }
    moved = sorted(measured, key=lambda one: -float(np.abs(one.figures["nll"][0] - one.figures["nll"][1]).mean()))
    return {
        "schema": SCHEMA,
        "sampling": {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p},
        "thresholds": {"lock_entropy": LOCK_ENTROPY, "fork_entropy": FORK_ENTROPY, "two_tokens": TWO_TOKENS},
        "all": everything,
        "kinds": {name: row for name, row in kinds.items() if row},
        "classes": {name: row for name, row in classes.items() if row},
        "programs": [_view(one) for one in moved[:SHOWN_PROGRAMS]],
    }  # fmt: skip


def measure_all(
    programs: Sequence[Program], base: Iterable[FloatArray], candidate: Iterable[FloatArray], sampling: SamplingConfig
) -> list[Measured]:
    """Measure program by program; the two streams of log-probabilities run side by side, so one program is held at a time."""
    return [measure(p, b, c, sampling) for p, b, c in zip(programs, base, candidate, strict=True)]
