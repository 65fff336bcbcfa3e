"""The paper's toy of why SSD works: a three-state machine with forks and locks, in closed form and sampled.

A program is five tokens: root, fork, lock, lock, lock, each from 16 tokens. It succeeds if the root chooses one of two
good plans, the fork its good (not its likeliest) branch, and every lock its one right token (arXiv:2604.01193). Locks
want a low temperature, forks a high one, and one decoding temperature must serve both: the precision-exploration conflict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssd_plugin.errors import ConfigError
from ssd_plugin.metrics.inference import FloatArray, Interval, paired_t

LEADING = {"root": (0.2, 0.19, 0.329, 0.126), "fork": (0.148, 0.28, 0.14, 0.144), "lock": (0.75, 0.055, 0.05, 0.037)}
TAIL_TOKENS = 12
TAIL_RATIO = 0.5  # the paper does not state it; one half reproduces its figures
T_TRAIN, TRAIN_TOP_P, EVAL_TOP_P = 0.9, 0.85, 0.8
GOOD_PLANS, GOOD_BRANCH, RIGHT_TOKEN, LOCKS = 2, 0, 0, 3
TEMPERATURES: FloatArray = np.arange(50, 4001) / 1000


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Next-token probabilities of each state, each of shape "tokens"."""

    root: FloatArray
    fork: FloatArray
    lock: FloatArray


@dataclass(frozen=True, kw_only=True)
class Best:
    """The decoding temperature at which a machine succeeds most often, and how often (a fraction)."""

    temperature: float
    success: float


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Over `TEMPERATURES`: success, and its two factors (one rises with the temperature, the other falls)."""

    success: FloatArray
    exploration: FloatArray  # good plan and good branch
    precision: FloatArray  # all three locks right


@dataclass(frozen=True, kw_only=True)
class SweepCell:
    """A student trained at one T_train and top-p, decoded at its own best temperature."""

    t_train: float
    top_p: float
    best: Best


def teacher() -> Machine:
    """The base model of the toy."""
    tail = TAIL_RATIO ** np.arange(TAIL_TOKENS)
    states = {name: np.append(lead, (1 - sum(lead)) * tail / tail.sum()) for name, lead in LEADING.items()}
    return Machine(**states)


def decode(probabilities: FloatArray, temperature: float | FloatArray, top_p: float) -> FloatArray:
    """Temper, then keep the smallest leading set whose mass reaches `top_p` and renormalise.

    `probabilities` has shape "tokens" (zeros stay zero), `temperature` "rows" or is one number; returns "rows tokens".

    Raises:
        ConfigError: a temperature or top-p that is not positive, or a top-p above 1.
    """
    rows = np.atleast_1d(np.asarray(temperature, dtype=np.float64))
    if not (rows > 0).all() or not 0 < top_p <= 1:
        raise ConfigError(f"temperatures must be above 0 and top_p within (0, 1]; got {temperature} and {top_p}")
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities)[None, :] / rows[:, None]
    tempered = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered /= tempered.sum(axis=1, keepdims=True)
    order = np.argsort(-tempered, axis=1, kind="stable")
    ranked = np.take_along_axis(tempered, order, axis=1)
    ranked[np.cumsum(ranked, axis=1) - ranked >= top_p] = 0.0
    kept: FloatArray = np.zeros_like(tempered)
    np.put_along_axis(kept, order, ranked, axis=1)
    kept /= kept.sum(axis=1, keepdims=True)
    return kept


def self_distil(machine: Machine, t_train: float, top_p: float) -> Machine:
    """The student of unlimited samples: cross-entropy makes it the distribution it was sampled from."""
    return Machine(
        root=decode(machine.root, t_train, top_p)[0],
        fork=decode(machine.fork, t_train, top_p)[0],
        lock=decode(machine.lock, t_train, top_p)[0],
    )


def curves(machine: Machine, top_p: float = EVAL_TOP_P) -> Curves:
    """P(success) = (q_A + q_B) q_fork q_lock^3 over the grid of decoding temperatures."""
    plans = decode(machine.root, TEMPERATURES, top_p)[:, :GOOD_PLANS].sum(axis=1)
    exploration = plans * decode(machine.fork, TEMPERATURES, top_p)[:, GOOD_BRANCH]
    precision = decode(machine.lock, TEMPERATURES, top_p)[:, RIGHT_TOKEN] ** LOCKS
    return Curves(success=exploration * precision, exploration=exploration, precision=precision)


def best(machine: Machine, top_p: float = EVAL_TOP_P) -> Best:
    """The best temperature on the grid (steps of 0.001; the success jumps where top-p drops a token)."""
    success = curves(machine, top_p).success
    at = int(success.argmax())
    return Best(temperature=float(TEMPERATURES[at]), success=float(success[at]))


def sweep(t_trains: Sequence[float], top_ps: Sequence[float]) -> list[SweepCell]:
    """Students over T_train and training top-p, in row-major order of the arguments."""
    base = teacher()
    return [SweepCell(t_train=t, top_p=p, best=best(self_distil(base, t, p))) for t in t_trains for p in top_ps]


def _counted(rng: np.random.Generator, machine: Machine, programs: int, t_train: float, top_p: float) -> Machine:
    """The student of `programs` sampled programs: relative frequencies a state, which is what cross-entropy fits."""
    source = self_distil(machine, t_train, top_p)
    return Machine(
        root=rng.multinomial(programs, source.root) / programs,
        fork=rng.multinomial(programs, source.fork) / programs,
        lock=rng.multinomial(programs * LOCKS, source.lock) / (programs * LOCKS),
    )


def _rollout_rate(rng: np.random.Generator, machine: Machine, temperature: float, programs: int) -> float:
    root, fork, lock = (
        decode(state, temperature, EVAL_TOP_P)[0] for state in (machine.root, machine.fork, machine.lock)
    )
    good = rng.choice(root.size, size=programs, p=root) < GOOD_PLANS
    good &= rng.choice(fork.size, size=programs, p=fork) == GOOD_BRANCH
    good &= (rng.choice(lock.size, size=(programs, LOCKS), p=lock) == RIGHT_TOKEN).all(axis=1)
    return float(good.mean())


def sampled(*, programs: int = 20_000, replications: int = 20, seed: int = 0) -> tuple[Interval, Interval]:
    """Teacher's and student's best success, measured, with 95 % t intervals over replications.

    Each replication samples a training set from the teacher, fits the student by counting, tunes its temperature, and
    decodes fresh programs.

    Raises:
        ConfigError: fewer than 100 programs or 2 replications.
    """
    if programs < 100 or replications < 2:
        raise ConfigError(f"give 100 programs and 2 replications or more; got {programs} and {replications}")
    rng, base = np.random.default_rng(seed), teacher()
    teacher_rates, student_rates = [], []
    for _ in range(replications):
        student = _counted(rng, base, programs, T_TRAIN, TRAIN_TOP_P)
        teacher_rates.append(_rollout_rate(rng, base, best(base).temperature, programs))
        student_rates.append(_rollout_rate(rng, student, best(student).temperature, programs))
    return paired_t(teacher_rates, pseudo_pairs=False), paired_t(student_rates, pseudo_pairs=False)
