"""The Python API: the command's verbs as functions that return objects and print nothing, and the types that plugins need.

Everything is also an attribute of `ssd_plugin` and is imported at its first use: `import ssd_plugin` loads no framework.
`docs/python-api.md` has an example of each.
"""

import contextlib
import importlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssd_plugin.core import run_layout as layout

if TYPE_CHECKING:
    from ssd_plugin.config.generating import GenerateConfig
    from ssd_plugin.config.schema import RunConfig
    from ssd_plugin.gating.request import GateRequest
    from ssd_plugin.gating.verdict import Verdict
    from ssd_plugin.grading.grader import GradeOptions, ScoreSummary
    from ssd_plugin.pipeline.generate import Generated
    from ssd_plugin.tasks.schema import Task
    from ssd_plugin.trust.promotion import Promotion
    from ssd_plugin.trust.verification import Verified

Place = str | os.PathLike[str]

# What plugins and notebooks need beside the verbs below, by the module that defines it.
TYPES = {
    "GenerateConfig": "ssd_plugin.config.generating",
    "ServerConfig": "ssd_plugin.config.generating",
    "DecodeConfig": "ssd_plugin.config.schema",
    "ModelConfig": "ssd_plugin.config.schema",
    "RunConfig": "ssd_plugin.config.schema",
    "hookimpl": "ssd_plugin.core.plugins",
    "SsdError": "ssd_plugin.errors",
    "Gate": "ssd_plugin.gating.gate",
    "GateContext": "ssd_plugin.gating.gate",
    "Side": "ssd_plugin.gating.gate",
    "GateRequest": "ssd_plugin.gating.request",
    "compare": "ssd_plugin.gating.paired",
    "conclude": "ssd_plugin.gating.paired",
    "Finding": "ssd_plugin.gating.verdict",
    "GateResult": "ssd_plugin.gating.verdict",
    "GateStatus": "ssd_plugin.gating.verdict",
    "Measurement": "ssd_plugin.gating.verdict",
    "Outcome": "ssd_plugin.gating.verdict",
    "Verdict": "ssd_plugin.gating.verdict",
    "Feedback": "ssd_plugin.grading.feedback",
    "GradeOptions": "ssd_plugin.grading.in_memory",
    "Grader": "ssd_plugin.grading.in_memory",
    "Judged": "ssd_plugin.grading.in_memory",
    "Judgement": "ssd_plugin.grading.judgement",
    "TrackedRun": "ssd_plugin.integrations.tracking.tracker",
    "Tracker": "ssd_plugin.integrations.tracking.tracker",
    "Request": "ssd_plugin.sampling.protocol",
    "Sampler": "ssd_plugin.sampling.protocol",
    "SamplingParams": "ssd_plugin.sampling.protocol",
    "AssertCheck": "ssd_plugin.tasks.schema",
    "FunctionCheck": "ssd_plugin.tasks.schema",
    "Sample": "ssd_plugin.tasks.schema",
    "Status": "ssd_plugin.tasks.schema",
    "StdioCheck": "ssd_plugin.tasks.schema",
    "Task": "ssd_plugin.tasks.schema",
    "Trainer": "ssd_plugin.training.protocol",
}
VERBS = ("recipe", "run", "generate", "score", "reward", "gate", "verify", "promote", "simulate")
__all__ = [*VERBS, *TYPES]


def __getattr__(name: str) -> Any:
    if name not in TYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(TYPES[name]), name)


def recipe(name: str, overrides: Sequence[str] = ()) -> "RunConfig":
    """The settings of a shipped recipe, with `overrides` ("section.key=value") laid over them.

    Raises:
        ConfigError: there is no such recipe or setting, or a value is not allowed.
    """
    from ssd_plugin.config.overrides import apply_overrides
    from ssd_plugin.methods import method_of
    from ssd_plugin.recipes import load

    config = apply_overrides(load(name)(), overrides)
    method_of(config)
    return config


def run(config: "RunConfig", run_dir: Place, *, say: Callable[[str], object] | None = None) -> "Verdict":
    """Run the pipeline, or continue it, in `run_dir`; the verdict of its last round. `say` hears each line of progress.

    Raises:
        ConfigError: a stage that is still to run cannot work on this machine; nothing was begun.
        SsdError: what a stage met; everything that was finished is kept.
    """
    from ssd_plugin.gating.verdict import read_verdict
    from ssd_plugin.integrations.tracking.run import run_and_track

    with contextlib.redirect_stdout(_Lines(say or (lambda _: None))):
        _, folders = run_and_track(config, Path(run_dir))
    return read_verdict(folders[-1] / layout.VERDICT)


def generate(
    tasks: Place, out: Place, config: "GenerateConfig", *, say: Callable[[str], object] | None = None
) -> "Generated":
    """Complete every task of a file (or of a benchmark, by name) into the samples file `out`; one that was cut off is continued.
    `say` hears each line of progress.

    Raises:
        DataError: the tasks are malformed, or `out` holds other samples. ModelError, ConfigError, DependencyError: the model or
            its server cannot be had. SamplingError: it failed; what was fetched is kept.
    """
    from ssd_plugin.pipeline.generate import generate as made

    with contextlib.redirect_stderr(_Lines(say or (lambda _: None))):
        return made(os.fspath(tasks), Path(out), config)


def score(tasks: Place, samples: Place, out: Place, *, options: "GradeOptions | None" = None) -> "ScoreSummary":
    """Grade a samples file in the sandbox into the result file `out`; a run that was cut off is continued.

    Raises:
        DataError: a file is malformed. SandboxError: no isolation that can be trusted.
    """
    from ssd_plugin.grading.grader import score_file

    return score_file(Path(tasks), Path(samples), Path(out), options=options)


def reward(
    tasks: "Sequence[Task | Mapping[str, Any]]",
    completions: Sequence[str],
    *,
    partial: bool = False,
    options: "GradeOptions | None" = None,
) -> list[float]:
    """One reward for each completion, graded in the sandbox against the task in its place (a `Task`, or a row of a task file): 1
    if its program passes all tests, else 0; with `partial` the share of cases that it passes.

    Raises:
        DataError: a task has no tests or cannot be graded. SandboxError: no isolation that can be trusted.
    """
    from ssd_plugin.integrations.rewards.batch import reward as rewarded

    return rewarded(tasks, completions, partial=partial, options=options)


def gate(request: "GateRequest", *, sign: Place | None = None) -> "Verdict":
    """Judge a candidate and write verdict and evidence into the request's `out`, signed with the private key `sign`.

    Raises:
        TrustError: the key cannot be used. ConfigError, PluginError: the policy cannot. GateError: another process uses `out`.
    """
    from ssd_plugin.evidence.gate_run import judge_and_record

    return judge_and_record(request, None if sign is None else Path(sign))


def verify(
    verdict: Place, trust: Sequence[Place], *, model: Place | None = None, policy: str | None = None
) -> "Verified":
    """Check that `verdict` is a valid GO, signed by one of the public keys `trust`, over exactly these files.

    Raises:
        TrustError: it is not, and why.
    """
    from ssd_plugin.trust.verification import verify as check

    directory = None if model is None else Path(model)
    return check(Path(verdict), _trusted(trust), model=directory, policy=_policy(policy))


def promote(
    verdict: Place,
    model: Place,
    registry: str,
    trust: Sequence[Place],
    *,
    name: str = "model",
    policy: str | None = None,
    sign: Place | None = None,
) -> "Promotion":
    """Copy a model into a registry and move the alias "champion" to it, on a valid GO only. `sign`: an ECDSA private key that
    also signs the model for other tools (OpenSSF Model Signing).

    Raises:
        TrustError: refused, and why; the alias is where it was. RegistryError: the registry failed.
    """
    from ssd_plugin.trust.promotion import promote as move
    from ssd_plugin.trust.registry.uri import open_registry

    target, signer = open_registry(registry, name), None if sign is None else Path(sign)
    return move(Path(verdict), Path(model), target, _trusted(trust), policy=_policy(policy), signer=signer)


def simulate(seed: int = 0) -> Mapping[str, Any]:
    """The paper's toy of the precision-exploration conflict, with what `ssd simulate` prints: best decoding, sweep, rollouts."""
    from ssd_plugin.report.toy_page import simulate as simulated

    return simulated(seed)[0]


def _trusted(keys: Sequence[Place]) -> Any:
    from ssd_plugin.trust.signing import load_trusted

    return load_trusted([Path(key) for key in keys])


def _policy(name: str | None) -> Any:
    from ssd_plugin.gating.policy import load_policy

    return None if name is None else load_policy(name).reference


class _Lines(io.TextIOBase):
    """A text stream that hands on whole lines."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._rest = say, ""

    def write(self, text: str) -> int:
        """Hand on what is complete; keep the rest."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)
