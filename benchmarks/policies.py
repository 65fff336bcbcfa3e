"""Operating characteristics of the shipped policies by simulation: how often GO, NO-GO and INCONCLUSIVE, by the true change.

    nice -n 15 python benchmarks/policies.py        # a few minutes on one core; writes benchmarks/results/policies.md

Margins, tiers and minima are read from the policies, bounds are the gates' own (`statistics.task_bounds`); what is assumed of a
model is in `Model` and in `Suite`. Gates of files and the likelihood of human code are taken as passed.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from ssd_plugin.gating.run import Bench, load_bench
from ssd_plugin.gating.verdict import Tier
from ssd_plugin.metrics.inference import task_bounds
from ssd_plugin.metrics.pass_at_k import pass_at_k

POLICIES = ("default", "samples_only", "enterprise", "strict", "embedded", "smoke")
Array = npt.NDArray[Any]
OUT = Path(__file__).parent / "results" / "policies.md"
PASS, INSUFFICIENT, BREACH = 1, 0, -1
KINDS = ("even", "lost tasks", "mixture", "one domain")
CHUNK = 300  # simulated gate runs at once


@dataclass(frozen=True, kw_only=True)
class Suite:
    """`level`: the baseline's pass@1; `spread`: a + b of the Beta distribution of a task's pass rate."""

    name: str
    tasks: int
    level: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """Rates of defects, alike on both sides, and how they cluster: a task's own rate is Beta with this a + b."""

    unparsed: float = 0.015
    cut: float = 0.02
    medium: float = 0.02  # of passing programs with a HIGH or MEDIUM finding
    high: float = 0.003
    imports: float = 0.002
    passwords: float = 0.0005
    lint: float = 0.03
    disobedient: float = 0.05
    clustering: float = 0.3
    shapes: Array = field(default_factory=lambda: np.full(12, 0.25))  # Dirichlet of a task's ways to be right


def spread_of(level: float, at_five: float) -> float:
    """The Beta spread with which pass@1 is `level` and pass@5 is `at_five`."""

    def excess(log: float) -> float:
        a, b = level * math.exp(log), (1 - level) * math.exp(log)
        return 1 - math.exp(special.betaln(a, b + 5) - special.betaln(a, b)) - at_five

    return math.exp(optimize.brentq(excess, -6, 6))  # type: ignore[no-untyped-call]


SUITES = (
    Suite(name="HumanEval", tasks=164, level=0.5, spread=0.6),
    Suite(name="MBPP", tasks=378, level=0.5, spread=0.6),
    Suite(
        name="LiveCodeBench v6", tasks=131, level=0.424, spread=spread_of(0.424, 0.535)
    ),  # the paper's headline model
    Suite(name="bank", tasks=211, level=0.5, spread=0.6),
)


class Draw:
    """Both sides' answers in `runs` simulated gate runs: arrays "runs tasks"."""

    def __init__(self, rng: np.random.Generator, suite: Suite, k: int, change: float, kind: str, runs: int) -> None:
        """`change`: true difference of pass@1; `kind`: how it falls on the tasks."""
        self.rng, self.k, self.shape, self.model = rng, k, (runs, suite.tasks), Model()
        self._rare: dict[float, Array] = {}
        before = rng.beta(suite.level * suite.spread, (1 - suite.level) * suite.spread, self.shape)
        self.passed = [rng.binomial(k, rates) for rates in (before, self._changed(before, suite, change, kind))]
        own = self._own(self.model.medium)
        self.insecure = [rng.binomial(count, own) for count in self.passed]
        self.high = [rng.binomial(count, self.model.high / self.model.medium) for count in self.insecure]

    def _changed(self, before: Array, suite: Suite, change: float, kind: str) -> Array:
        if change >= 0:
            return before + (1 - before) * change / (1 - suite.level)
        share = min(1.0, -change / suite.level)
        if kind == "even":
            return before * (1 - share)
        if kind == "lost tasks":
            return before * (self.rng.random(self.shape) >= share)
        if kind == "mixture":
            return before * (self.rng.random(self.shape) >= share / 2) * (1 - share / 2 / (1 - share / 2))
        hurt = np.arange(suite.tasks) < suite.tasks * max(
            1 / 8, share
        )  # one domain, of an eighth of the tasks or as many as it takes
        return before * np.where(hurt, 1 - min(1.0, share / hurt.mean()), 1.0)

    def _own(self, rate: float) -> Array:
        spread = self.model.clustering
        return self.rng.beta(rate * spread, (1 - rate) * spread, self.shape)

    def rare(self, rate: float) -> Array:
        """Gains (baseline minus candidate) of a defect that both sides have alike; every policy sees the same."""
        if rate not in self._rare:
            own = self._own(rate)
            self._rare[rate] = (self.rng.binomial(self.k, own) - self.rng.binomial(self.k, own)) / self.k
        return self._rare[rate]

    def gain(self, counts: Sequence[Array], value: Callable[[int], float]) -> Array:
        """Candidate minus baseline of a figure that depends on the count of such answers."""
        table = np.array([value(count) for count in range(self.k + 1)])
        gains: Array = table[counts[1]] - table[counts[0]]
        return gains

    def findings(self, found: Sequence[Array]) -> Array:
        """As static_analysis: what more passes explain at the baseline's rate is no rise."""
        rate = found[0].sum(axis=1, keepdims=True) / np.maximum(self.passed[0].sum(axis=1, keepdims=True), 1)
        gains: Array = (rate * (self.passed[1] - self.passed[0]) - (found[1] - found[0])) / self.k
        return gains

    @cached_property
    def variety(self) -> list[tuple[Array, float]]:
        """By run: gains over the tasks with two passing programs on both sides, and the baseline's level."""
        ways = self.rng.dirichlet(self.model.shapes, self.shape)
        pairs = []
        for count in self.passed:
            alike = self.rng.multinomial(count, ways)
            total = np.maximum(count * (count - 1), 1)
            pairs.append(1 - (alike * (alike - 1)).sum(axis=-1) / total)
        both = (self.passed[0] > 1) & (self.passed[1] > 1)
        found = []
        for run in range(self.shape[0]):
            left, right = (side[run][both[run]] for side in pairs)
            found.append((right - left, float(left.mean()) if left.size else 0.0))
        return found


def told(gains: Array, margin: float, alpha: float, level: Array | None = None) -> Array:
    """By run: PASS, INSUFFICIENT or BREACH."""
    low, high = task_bounds(gains, alpha)
    found = np.where(low > -margin, PASS, np.where(high < -margin, BREACH, INSUFFICIENT))
    return found if level is None else np.where(level <= margin, INSUFFICIENT, found)


def judge(policy: Bench, draw: Draw) -> dict[str, list[Array]]:
    """By gate, its figures' outcomes."""
    of, k, model, alpha = policy.settings, draw.k, draw.model, policy.policy.alpha / policy.policy.looks

    def at(tries: int) -> Callable[[int], float]:
        return lambda count: pass_at_k(k, count, tries)

    level = draw.passed[0].mean(axis=1) / k
    secure = [count - bad for count, bad in zip(draw.passed, draw.insecure, strict=True)]
    rate = draw.gain(draw.passed, lambda count: count / k)
    unmeasured = np.zeros(draw.shape[0])
    collapse, static = of["collapse"], of["static_analysis"]
    varied = [
        told(gains, (1 - collapse.distinct_share) * mean, alpha) if gains.size > 1 and mean else INSUFFICIENT
        for gains, mean in (draw.variety if k > 1 else ())
    ]
    found = {
        "correctness": [told(rate, of["correctness"].margin, alpha, level)],
        "generation_zero": [told(rate, of["generation_zero"].margin, alpha, level)],
        "collapse": [
            told(draw.gain(draw.passed, at(collapse.k)), collapse.pass_at_k_margin, alpha)
            if k >= 2 * collapse.k
            else unmeasured,
            np.array(varied) if varied else unmeasured,
            told(draw.rare(model.unparsed), collapse.damage_margin, alpha),
            told(draw.rare(model.cut), collapse.damage_margin, alpha),
        ],
        "static_analysis": [
            told(draw.gain(secure, lambda count: count / k), static.secure_margin, alpha, level),
            told(draw.findings(draw.high), static.finding_margin, alpha),
            told(draw.findings(draw.insecure), static.finding_margin, alpha),
        ],
        "imports": [told(draw.rare(model.imports), of["imports"].margin, alpha)],
        "secrets": [told(draw.rare(model.passwords), of["secrets"].margin, alpha)],
        "lint": [told(draw.rare(model.lint), of["lint"].margin, alpha)],
        "forgetting": [told(draw.rare(model.disobedient), of["forgetting"].margin, alpha)],
    }
    if k >= 2 * static.k:
        found["static_analysis"].append(told(draw.gain(secure, at(static.k)), static.secure_at_k_margin, alpha))
    return found


@cache
def bench(policy: str) -> Bench:
    """The policy with its gates' settings."""
    return load_bench(policy)


def outcomes(
    policies: Sequence[str], suite: Suite, k: int, change: float, runs: int, kind: str = "even"
) -> list[tuple[float, float]]:
    """By policy, the shares of GO and of NO-GO; the rest is INCONCLUSIVE. All judge the same simulated answers."""
    benches = [bench(name) for name in policies]
    counts = np.zeros((len(benches), 2))
    for start in range(0, runs, CHUNK):
        count = min(CHUNK, runs - start)
        seed = [suite.tasks, k, round(1e4 * (change + 1)), KINDS.index(kind), start]
        draw = Draw(np.random.default_rng(seed), suite, k, change, kind, count)
        for row, one in enumerate(benches):
            good, bad = np.ones(count, bool), np.zeros(count, bool)
            for gate, figures in judge(one, draw).items():
                bad |= np.any([figure == BREACH for figure in figures], axis=0)
                if one.policy.gates[gate].tier is Tier.CRITICAL:
                    good &= np.all([figure == PASS for figure in figures], axis=0)
            enough = suite.tasks >= one.policy.min_tasks and k >= one.policy.min_samples
            counts[row] += (good & ~bad & enough).sum(), bad.sum()
    return [(float(go), float(no)) for go, no in counts / runs]


def main_table(runs: int) -> Iterator[str]:
    """GO / NO-GO in percent by policy, suite, samples and true change."""
    changes = (-0.06, -0.03, 0.0, 0.03, 0.126)
    yield "| policy | suite | samples | " + " | ".join(f"{100 * change:+.3g} points" for change in changes) + " |"
    yield "|---" * (3 + len(changes)) + "|"
    sizes = [(suite, k) for suite in SUITES for k in (1, 5, 10, 20)]
    cells = [[outcomes(POLICIES, suite, k, change, runs) for change in changes] for suite, k in sizes]
    for place, policy in enumerate(POLICIES):
        for (suite, k), cell in zip(sizes, cells, strict=True):
            told_in_full = " | ".join(f"{100 * found[place][0]:.0f} / {100 * found[place][1]:.0f}" for found in cell)
            yield f"| {policy} | {suite.name}, {suite.tasks} | {k} | {told_in_full} |"


def false_go(runs: int) -> Iterator[str]:
    """P(GO) where pass@1 falls by exactly the margin of correctness, by how the loss falls on the tasks."""
    yield "| policy | nominal | suite x samples | " + " | ".join(KINDS) + " |"
    yield "|---" * (3 + len(KINDS)) + "|"
    for policy, suite, k in (
        ("default", SUITES[0], 20), ("default", SUITES[1], 10), ("default", SUITES[2], 10), ("enterprise", SUITES[1], 20),
        ("strict", Suite(name="1,000 tasks", tasks=1000, level=0.5, spread=0.6), 20),
        ("embedded", SUITES[3], 5), ("smoke", SUITES[0], 1), ("smoke", SUITES[0], 5),
    ):  # fmt: skip
        one = bench(policy)
        loss = -one.settings["correctness"].margin
        shares = [outcomes([policy], suite, k, loss, runs, kind)[0][0] for kind in KINDS]
        row = " | ".join(f"{100 * share:.1f} %" for share in shares)
        yield f"| {policy} | {100 * one.policy.alpha / one.policy.looks:.1f} % | {suite.name} x {k} | {row} |"


def needed(runs: int) -> Iterator[str]:
    """P(GO) of an equal model by size."""
    sizes = (131, 164, 250, 378, 542, 1000)
    yield "| policy | samples | " + " | ".join(f"{size} tasks" for size in sizes) + " |"
    yield "|---" * (2 + len(sizes)) + "|"
    for policy, ks in (("default", (10, 20)), ("enterprise", (10, 20)), ("strict", (10, 20, 40))):
        for k in ks:
            suites = [Suite(name="", tasks=size, level=0.5, spread=0.6) for size in sizes]
            row = " | ".join(f"{100 * outcomes([policy], suite, k, 0.0, runs)[0][0]:.0f} %" for suite in suites)
            yield f"| {policy} | {k} | {row} |"


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="simulated gate runs per cell")
    runs = parser.parse_args().runs
    model = Model()
    levels = "; ".join(f"{suite.name} {suite.level:g}, {suite.spread:.2f}" for suite in SUITES)
    text = [
        "# Operating characteristics of the shipped policies",
        "",
        f"`python benchmarks/policies.py --runs {runs}`; {runs} simulated gate runs per cell in the first and last table "
        f"(standard error at most {50 / math.sqrt(runs):.0f} points), {5 * runs} in the second.",
        "",
        f"Assumed: task pass rates Beta with the level and a + b of each suite ({levels}); both sides alike in defects, per "
        f"answer {model.unparsed:g} unparsed, {model.cut:g} cut off, {model.imports:g} with suspicious imports, "
        f"{model.passwords:g} with passwords, {model.lint:g} with lint errors, {model.disobedient:g} against an instruction, "
        f"per passing program {model.medium:g} with a HIGH or MEDIUM finding, {model.high:g} with HIGH, clustered by task "
        f"(Beta with a + b = {model.clustering:g}). Gates of files, length, domains, drift and likelihood are taken as passed.",
        "",
        "## GO / NO-GO in percent by the true change of pass@1",
        "",
        "The rest is INCONCLUSIVE. A change falls on all tasks alike, in proportion to what there is to lose or gain.",
        "",
        *main_table(runs),
        "",
        "## GO where pass@1 falls by exactly the margin of `correctness`",
        "",
        *false_go(5 * runs),
        "",
        "## GO of an equal model, baseline at 0.5",
        "",
        *needed(runs),
        "",
    ]
    OUT.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
