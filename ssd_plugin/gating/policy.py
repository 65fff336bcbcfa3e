"""The policy: which gates must hold, how much loss is tolerated, who may vote. A TOML file in version control."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ssd_plugin.config.parsing import build
from ssd_plugin.core.files import MOST_TOML, read_input
from ssd_plugin.errors import ConfigError, DataError
from ssd_plugin.gating.verdict import Override, PolicyRef, Tier

SCHEMA = "ssd-policy/1"
SANDBOX_TIERS = ("rlimits", "landlock", "namespaces")  # weakest first
INTEGRITY = "integrity"  # whether grades made here can be trusted; it runs before every other gate
BENCHMARKS = "benchmarks"  # judges results that were graded elsewhere
_WITHOUT_SAMPLES = ("artifact", BENCHMARKS)  # gates that judge files; all others need samples that are graded here
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# Gates that a candidate which solves nothing can pass: no policy may rest on these alone.
_NOT_BEHAVIOURAL = ("integrity", "artifact", "contamination", "forgetting", "imports", "lint", "secrets")
_NEVER_OVERRIDDEN = ("integrity", "artifact")  # grading that cannot be trusted and hostile files are nobody's to accept


def kind_of(name: str) -> str:
    """The gate that an entry of a policy calls: `benchmarks` for `benchmarks.mmlu`, which is one instance of it."""
    return name.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class GatePolicy:
    """One gate's place in the policy. `timeout_s`: wall time; `memory_mib`: for each of its processes, beside what the runner
    holds. `settings` is checked against the gate's own settings when gates are loaded."""

    tier: Tier
    timeout_s: float = 600.0
    memory_mib: int = 4096
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A whole policy. `plugins`: third-party distributions that may vote; `promotable`: whether a GO may move a model;
    `sandbox`, `min_tasks`, `min_samples`: of the samples that are graded here, absent in a policy that has none graded;
    `looks`: how often one candidate may be judged on new data; `alpha`: one-sided error over all looks together;
    `regrade`: grade result files again, even this user's grader's own; `foreign_results`: believe those whose sidecar this user's
    grader did not write, too; `valid_days`: how long a verdict holds."""

    schema: str
    name: str
    description: str
    promotable: bool
    sandbox: str = ""
    min_tasks: int = 0
    min_samples: int = 0
    alpha: float = 0.05
    looks: int = 2
    valid_days: int = 30
    regrade: bool = False
    foreign_results: bool = False
    plugins: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    gates: dict[str, GatePolicy]
    sha256: str

    def __post_init__(self) -> None:
        """Refuse values that would make the policy meaningless."""
        self._require_something()
        unused = "nothing, since no samples are graded in a policy without [gates.integrity]"
        tiers, tasks, samples = SANDBOX_TIERS, range(2, 10**6 + 1), range(1, 10**4 + 1)
        for holds, key, value, allowed in (
            (self.schema == SCHEMA, "schema", self.schema, SCHEMA),
            (self.sandbox in (tiers if self.grades else ("",)), "sandbox", self.sandbox, ", ".join(tiers)),
            (self.min_tasks in (tasks if self.grades else (0,)), "min_tasks", self.min_tasks, "2 to 1000000"),
            (self.min_samples in (samples if self.grades else (0,)), "min_samples", self.min_samples, "1 to 10000"),
            (1e-6 <= self.alpha <= 0.2, "alpha", self.alpha, "0.000001 to 0.2"),
            (self.looks in (1, 2), "looks", self.looks, "1 or 2"),
            (1 <= self.valid_days <= 366, "valid_days", self.valid_days, "1 to 366"),
        ):
            if not holds:
                allowed = unused if not self.grades and key in ("sandbox", "min_tasks", "min_samples") else allowed
                raise ConfigError(f"{key} = {value!r} is not allowed; allowed: {allowed}")
        if self.foreign_results and (self.promotable or self.regrade):
            raise ConfigError(
                "foreign_results = true needs promotable = false and regrade = false: what can promote rests on no grades that "
                "anybody could have written"
            )
        self._check_overrides()
        if self.promotable and not self.grades:
            raise ConfigError(
                "promotable = true needs [gates.integrity]: results that were graded elsewhere move no model by themselves"
            )
        artifact = self.gates.get("artifact")
        if self.promotable and (artifact is None or artifact.tier is not Tier.CRITICAL):
            raise ConfigError(
                "promotable = true needs [gates.artifact] with tier = 'critical': a model whose files nobody held to anything "
                "cannot be promoted"
            )
        if self.promotable and self.sandbox == "rlimits":
            raise ConfigError("promotable = true needs sandbox = 'landlock' or 'namespaces': rlimits stop no attack")

    @property
    def grades(self) -> bool:
        """Whether samples are graded here; if not, the policy judges only files, such as results graded elsewhere."""
        return INTEGRITY in self.gates

    def _require_something(self) -> None:
        grading = self.grades or any(kind_of(name) not in _WITHOUT_SAMPLES for name in self.gates)
        if grading and (not self.grades or self.gates[INTEGRITY].tier is not Tier.CRITICAL):
            raise ConfigError(
                "gates.integrity must be there with tier = 'critical': without it no grade can be trusted"
            )
        critical = {name for name, gate in self.gates.items() if gate.tier is Tier.CRITICAL}
        deciding = {name for name in critical if kind_of(name) not in _NOT_BEHAVIOURAL}
        if not deciding - {override.gate for override in self.overrides}:
            raise ConfigError(
                "a policy that requires nothing of the candidate: give a behavioural gate, such as correctness, "
                "tier = 'critical' and no override"
            )
        for name, gate in self.gates.items():
            if kind_of(name) == BENCHMARKS and not _INSTANCE.fullmatch(name.partition(".")[2]):
                raise ConfigError(
                    f"gates.{name} names no benchmark; write [gates.{BENCHMARKS}.NAME], with letters, digits, _ and -"
                )
            if not 0 < gate.timeout_s <= 7 * 86400:
                raise ConfigError(
                    f"gates.{name}.timeout_s = {gate.timeout_s!r} is not allowed; allowed: seconds above 0, at most 604800"
                )
            if not 64 <= gate.memory_mib <= 2**24:
                raise ConfigError(
                    f"gates.{name}.memory_mib = {gate.memory_mib!r} is not allowed; allowed: 64 to 16777216 (16 TiB)"
                )

    def _check_overrides(self) -> None:
        for index, override in enumerate(self.overrides):
            path = f"overrides[{index}]"
            if override.gate not in self.gates:
                raise ConfigError(
                    f"{path}.gate = {override.gate!r} is not a gate of this policy: {', '.join(self.gates)}"
                )
            if kind_of(override.gate) in _NEVER_OVERRIDDEN:
                raise ConfigError(f"{path}.gate = {override.gate!r} can never be overridden")
            if not override.reason.strip():
                raise ConfigError(f"{path}.reason is empty; say why the loss is accepted")
        names = [override.gate for override in self.overrides]
        if len(set(names)) != len(names):
            raise ConfigError("overrides: a gate is overridden twice")

    @property
    def reference(self) -> PolicyRef:
        """Name and digest for the verdict."""
        return PolicyRef(name=self.name, sha256=self.sha256)

    def override_of(self, gate: str) -> Override | None:
        """The override of a gate, expired or not."""
        return next((override for override in self.overrides if override.gate == gate), None)

    def expired_overrides(self, today: date) -> list[Override]:
        """Overrides whose last day has passed."""
        return [override for override in self.overrides if override.expires < today]


def shipped_policies() -> dict[str, Path]:
    """The policies that come with the package, by name."""
    folder = Path(__file__).parents[1] / "gates" / "policies"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_policy(reference: str) -> Policy:
    """A shipped policy by name, or a TOML file by path.

    Raises:
        ConfigError: no such policy, not TOML, or a key or value that is not allowed (with the key's path).
    """
    shipped = shipped_policies()
    path = shipped.get(reference) or Path(reference)
    if not path.is_file():
        raise ConfigError(f"policy {reference!r}: neither a file nor one of {', '.join(shipped)}")
    try:
        raw = read_input(path, MOST_TOML)
        table = tomllib.loads(raw.decode("utf-8"))
        return _from_table(table, hashlib.sha256(raw).hexdigest())
    except DataError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ConfigError(f"{path}: not TOML ({error})") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _from_table(table: dict[str, Any], sha256: str) -> Policy:
    if "sha256" in table:
        raise ConfigError("sha256 is not a known key")
    gates = table.get("gates")
    if not isinstance(gates, dict):
        raise ConfigError("gates is missing: add a table [gates.NAME] for each gate")
    split = {}
    for name, entry in _instances(gates):
        if not isinstance(entry, dict):
            raise ConfigError(f"gates.{name} = {entry!r} is not allowed; allowed: a table")
        own = {key: entry[key] for key in ("tier", "timeout_s", "memory_mib") if key in entry}
        split[name] = own | {"settings": {key: value for key, value in entry.items() if key not in own}}
    # `Any` settings are opaque here: each gate's own dataclass refuses what it does not know.
    return build(Policy, {**table, "gates": split, "sha256": sha256}, "")


def _instances(gates: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each gate's table by its name; a table of nothing but tables, as `[gates.benchmarks.mmlu]` makes one, holds several of a
    gate."""
    for name, entry in gates.items():
        if isinstance(entry, dict) and entry and all(isinstance(value, dict) for value in entry.values()):
            yield from ((f"{name}.{instance}", table) for instance, table in entry.items())
        else:
            yield name, entry
