"""Counts how often a candidate was judged: looks on new data spend alpha, reruns on the same data change nothing.

The ledger is one file for all gate runs of a user (`--ledger` or SSD_LEDGER name a shared one), not a file of the output
directory: another --out does not start counting anew. Another ledger does; so do other weights. docs/gates.md says what
follows from that.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ssd_plugin.core.jsonl import JsonObject, read_jsonl, sha256_json, write_jsonl
from ssd_plugin.core.locks import LOCK, lock
from ssd_plugin.core.user_state import state_file
from ssd_plugin.errors import DataError, GateError
from ssd_plugin.gating.gate import Side
from ssd_plugin.gating.policy import Policy
from ssd_plugin.gating.safetensors_files import Tensor, read_tensors, tensor_digests
from ssd_plugin.gating.verdict import Looks

_WEIGHTS = (".safetensors", ".gguf")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is judged, by digest. `candidate` stays when the candidate is sampled anew; `data` changes then."""

    candidate: str
    tasks: str
    data: str


def default_ledger() -> Path:
    """`$SSD_LEDGER`, else `looks.jsonl` in this user's state directory (`$XDG_STATE_HOME`, else `~/.local/state`).

    Raises:
        GateError: none is named and this user has no home.
    """
    if named := os.environ.get("SSD_LEDGER"):
        return Path(named)
    try:
        return state_file("looks.jsonl")
    except RuntimeError as error:
        raise GateError("this user has no home to count looks in; name a file with --ledger or SSD_LEDGER") from error


def weights_identity(directory: Path, digests: Mapping[str, str], baseline: Path | None) -> str:
    """What the candidate in `directory`, whose files have these digests, is counted by.

    It is the set of its tensors, by type, shape and bytes: other files beside them, other metadata, names, shards or an order
    make no new candidate. Where there is a baseline, tensors of names that it does not have are left out: no loader of
    that architecture reads them. Weight files count by their bytes only where no tensor can be read.
    """
    read = {name for found in _tensors(baseline).values() for name in found} if baseline else set()
    files = _tensors(directory)
    if not read & {name for found in files.values() for name in found}:
        read = {name for found in files.values() for name in found}
    parts = {
        digest
        for path, found in files.items()
        for digest in tensor_digests(path, {name: tensor for name, tensor in found.items() if name in read})
    }
    whole = {digest for path, digest in digests.items() if PurePosixPath(path).suffix in _WEIGHTS}
    return sha256_json(sorted(parts or whole or set(digests.values())))


def _tensors(directory: Path) -> dict[Path, dict[str, Tensor]]:
    """The tensors of each sound safetensors file."""
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        try:
            found[path] = read_tensors(path)
        except (ValueError, OSError):
            continue  # the artifact gate says what is wrong with it
    return found


def identify(tasks: str, sides: Mapping[str, Side], benchmarks: Mapping[str, str], candidate: str) -> Judged:
    """`tasks`: the task file's digest; `benchmarks`: digests of the results that were graded elsewhere, by side; `candidate`: the
    `weights_identity`, empty without weights: then it is its answers, or its results where nothing is graded here.

    The answers are digested, not their file, so that grading again or another order of keys is the same data.
    """
    answers = {
        role: sha256_json(sorted((row.task_id, row.sample_id, row.completion) for row in side.rows))
        for role, side in sides.items()
    }
    return Judged(
        candidate=candidate or answers.get("candidate") or benchmarks["benchmarks_candidate"],
        tasks=tasks or benchmarks["benchmarks_baseline"],
        data=sha256_json({"tasks": tasks, **answers, **benchmarks}),
    )


@contextmanager
def _held(ledger: Path) -> Iterator[None]:
    """Keep other gate runs out; the lock ends with the process.

    Raises:
        GateError: the ledger's directory cannot be written.
    """
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        descriptor = lock(ledger.with_name(ledger.name + LOCK), os.O_RDWR | os.O_CREAT, patience=math.inf)
        try:
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise GateError(
            f"looks cannot be counted in {ledger} ({error.strerror}); name a file that can be written with --ledger or "
            "SSD_LEDGER"
        ) from error


def _entries(ledger: Path) -> list[JsonObject]:
    """The ledger's rows; none before the first look.

    Raises:
        GateError: it is malformed.
    """
    try:
        return [row for _, row in read_jsonl(ledger)] if ledger.exists() else []
    except DataError as error:
        raise GateError(
            f"{error}: that is the file that counts looks; restore it, or name another with --ledger or SSD_LEDGER"
        ) from error


def record_look(ledger: Path, policy: Policy, now: Judged) -> Looks:
    """Enter this gate run and say which look it is. Entered before any gate judges the candidate, so an aborted look counts
    too.

    Raises:
        GateError: the candidate was judged on other data `policy.looks` times already, or the ledger cannot be written
            or is malformed.
        ResourceError: the disk is full.
    """
    with _held(ledger):
        rows = _entries(ledger)
        before = [row.get("data") for row in rows if row.get("candidate") == now.candidate]
        looks = list(dict.fromkeys([*before, now.data]))
        if len(looks) > policy.looks:
            raise GateError(
                f"this candidate was judged on {len(looks) - 1} data sets already and the policy allows {policy.looks} looks; "
                f"sampling until it passes proves nothing: train another candidate (looks are counted in {ledger})"
            )
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "policy": policy.sha256, **vars(now)}
        write_jsonl(ledger, [*rows, entry])
    return Looks(
        look=looks.index(now.data) + 1,
        allowed=policy.looks,
        reruns=before.count(now.data),
        alpha=policy.alpha / policy.looks,
        candidates=len({row.get("candidate") for row in rows if row.get("tasks") == now.tasks} | {now.candidate}),
        ledger=str(ledger),
    )
