"""Is this verdict a GO that a trusted key signed, still valid, over exactly these files? Offline; all or nothing."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ssd_plugin.core.digests import first_difference, model_digests
from ssd_plugin.core.files import read_input
from ssd_plugin.core.jsonl import sha256_file
from ssd_plugin.core.locks import LOCK
from ssd_plugin.errors import DataError, TrustError
from ssd_plugin.gating.verdict import Outcome, PolicyRef, Verdict, decide
from ssd_plugin.trust.dsse import unseal
from ssd_plugin.trust.evidence_files import BUNDLE, ENVELOPE, MODEL_SIGNATURE, STATEMENT, VERDICT
from ssd_plugin.trust.keyless import Identity, Trust, unseal_keyless
from ssd_plugin.trust.model_signature import check_model_signature
from ssd_plugin.trust.statement import evidence_digests, statement

_DEEPEST = 8  # levels of folders in an evidence directory, which has two


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A verdict that held. `key_id`: the key's id, or the identity, that signed it. `evidence`: its files' paths relative to the
    evidence directory, the signature among them;
    `unchecked`: what was not compared with what was judged: files that are not where the verdict saw them, the model if none
    was given."""

    verdict: Verdict
    verdict_sha256: str
    key_id: str
    evidence: tuple[str, ...]
    unchecked: tuple[str, ...]

    def model(self, role: str = "model") -> dict[str, str]:
        """Hex SHA-256 of the judged model's files by path; `role`: model or baseline_model; empty when none was judged."""
        return {s.path: s.sha256 for s in self.verdict.subjects if s.role == role}


def verify(
    path: Path,
    trusted: Trust,
    *,
    model: Path | None = None,
    policy: PolicyRef | None = None,
    promotable: bool = False,
    model_signature: Path | None = None,
    now: datetime | None = None,
) -> Verified:
    """Check the verdict at `path` and the evidence beside it, then the files of `model`.

    `trusted`: public keys by id, as `signing.load_trusted` gives them (empty trusts nobody), or an identity. `policy`: the one
    that must have judged; default any. `promotable`: demand that the policy may promote a model. `model_signature`: an OpenSSF
    Model Signing bundle that must be there and hold, too; the one beside the verdict must hold wherever there is one. `now`:
    default the clock; a moment in the past asks whether the verdict held then.

    Raises:
        TrustError: anything but a valid GO whose digests match; the message names the file and what is wrong with it.
    """
    verified = verify_signature(path, trusted)
    verdict = verified.verdict
    _require_go_at(verdict, now or datetime.now(UTC), path)
    if policy is not None:
        _require_policy(verdict.policy, policy, path)
    if promotable and not verdict.promotable:
        raise TrustError(f"{path}: its policy, {verdict.policy.name}, cannot promote a model")
    if model_signature is not None:
        check_model_signature(model_signature, trusted, _judged_model(verified), model)
    unchecked = _check_inputs(verdict, path.parent)
    if model is not None:
        require_model(verified, model)
    elif judged := verified.model():
        unchecked = (*unchecked, f"the weights: the model's {len(judged)} files were not compared (give --model)")
    else:
        unchecked = (*unchecked, "the weights: the verdict judged no model")
    return replace(verified, unchecked=unchecked)


def verify_signature(path: Path, trusted: Trust) -> Verified:
    """Check only the signature, the evidence files (none missing, none extra), that the verdict follows from its gates, and a
    model signature beside it; not outcome or age.

    Raises:
        TrustError: as `verify`.
    """
    if not trusted:
        raise TrustError(
            f"{path}: no key is trusted, so nothing is; give --trust the public key of who may sign verdicts"
        )
    envelope = path.parent / (BUNDLE if isinstance(trusted, Identity) else ENVELOPE)
    flag = "--keyless" if isinstance(trusted, Identity) else "--sign"
    sealed = _read(envelope, f"the verdict is not signed so: run ssd gate with {flag}")
    try:
        opened = unseal_keyless(sealed, trusted) if isinstance(trusted, Identity) else unseal(sealed, trusted)
        digests = evidence_digests(opened.payload)
    except TrustError as error:
        raise TrustError(f"{envelope}: {error}") from error
    raw = _read(path, "give the verdict.json of a gate run")
    # The verdict that is judged below is parsed from the very bytes that were digested.
    if digests.get(VERDICT) != hashlib.sha256(raw).hexdigest():
        raise TrustError(f"{path}: was changed after it was signed, or belongs to another signature")
    try:
        verdict = Verdict.from_json(json.loads(raw), str(path))
        expected = statement(verdict, digests)
    except (ValueError, OverflowError, RecursionError, DataError) as error:
        raise TrustError(f"{path}: not a verdict ({error})") from error
    if opened.payload != expected:
        raise TrustError(f"{envelope}: its statement is not the one that `ssd gate` writes of {path.name}")
    digests[STATEMENT] = hashlib.sha256(opened.payload).hexdigest()  # the readable copy of what was signed
    _check_evidence(path.parent, digests)
    _refuse_others(path.parent, digests, verdict)
    evidence = (*sorted(digests), envelope.name)
    verified = Verified(
        verdict=verdict, verdict_sha256=digests[VERDICT], key_id=opened.key_id, evidence=evidence, unchecked=()
    )
    if os.path.lexists(signature := path.parent / MODEL_SIGNATURE):
        check_model_signature(signature, trusted, _judged_model(verified))
        verified = replace(verified, evidence=(*evidence, MODEL_SIGNATURE))
    return verified


def require_model(verified: Verified, directory: Path) -> None:
    """Compare every file of a model directory with what was judged: none missing, none extra, none changed.

    Raises:
        TrustError: names the first file that differs.
    """
    if difference := first_difference(_judged_model(verified), model_digests(directory)):
        raise TrustError(f"{directory}: {difference}")


def _judged_model(verified: Verified) -> dict[str, str]:
    judged = verified.model()
    if not judged:
        raise TrustError("the verdict judged no model files: run ssd gate with --model")
    return judged


def _check_evidence(folder: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise TrustError(f"{folder}: the signed statement names {name!r}, which is outside the evidence directory")
        if hashlib.sha256(_read(folder / relative, "it is part of the signed evidence")).hexdigest() != digest:
            raise TrustError(f"{folder / relative}: was changed after the verdict was signed")


def _refuse_others(folder: Path, digests: Mapping[str, str], verdict: Verdict) -> None:
    """A file that nobody signed must not lie among those that somebody did. Judged files may: they are checked by digest."""
    judged = {Path(os.path.normpath(s.path)) for s in verdict.subjects if s.role not in ("model", "baseline_model")}
    known = {*map(Path, digests), Path(ENVELOPE), Path(BUNDLE), Path(MODEL_SIGNATURE), *judged}
    lock = folder / LOCK  # the gate run's own (`gating/output_lock.py`), as long as nothing is in it
    if lock.is_file() and not lock.is_symlink() and lock.stat().st_size == 0:
        known.add(Path(LOCK))
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            here = path.relative_to(folder)
            if path.is_dir() and not path.is_symlink() and len(here.parts) < _DEEPEST:
                waiting.append(path)
            elif here not in known:
                raise TrustError(f"{path}: is no part of the signed evidence; move it out of that directory")


def _check_inputs(verdict: Verdict, folder: Path) -> tuple[str, ...]:
    """Tasks and samples that are still where the verdict saw them must be what it saw; returns those that are not there."""
    absent = []
    for subject in verdict.subjects:
        if subject.role in ("model", "baseline_model"):
            continue
        path = folder / subject.path
        try:
            if not path.is_file():
                absent.append(f"{subject.role} {subject.path}: is not there")
                continue
            digest = sha256_file(path)
        except (DataError, OSError) as error:  # such as a name longer than the file system's
            raise TrustError(f"{subject.role} {subject.path:.200}: cannot be read ({error})") from error
        if digest != subject.sha256:
            raise TrustError(f"{path}: was changed since the verdict was made ({subject.role})")
    return tuple(absent)


def _require_go_at(verdict: Verdict, now: datetime, path: Path) -> None:
    if verdict.outcome is not Outcome.GO:
        raise TrustError(f"{path}: the verdict is {verdict.outcome}, not GO: {verdict.reason}")
    created, expires = (_moment(text, path) for text in (verdict.created, verdict.expires))
    if now < created:
        raise TrustError(f"{path}: the verdict was made at {verdict.created}, which is in the future: check the clocks")
    if now >= expires:
        raise TrustError(f"{path}: the verdict expired at {verdict.expires}: run ssd gate again")
    outcome, reason = decide(verdict.gates, now.astimezone(UTC).date())  # an override may have expired since
    if outcome is not Outcome.GO:
        raise TrustError(f"{path}: the verdict is no longer GO: {reason}")


def _require_policy(judged: PolicyRef, demanded: PolicyRef, path: Path) -> None:
    """By digest: anybody can give a policy of their own the name of another."""
    if judged.sha256 != demanded.sha256:
        raise TrustError(
            f"{path}: was judged by policy {judged.name} (SHA-256 {judged.sha256[:12]}...), and {demanded.name} "
            f"({demanded.sha256[:12]}...) is demanded: run ssd gate with that policy"
        )


def _moment(text: str, path: Path) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TrustError(f"{path}: {text!r} is not a time") from None
    if moment.tzinfo is None:
        raise TrustError(f"{path}: the time {text!r} has no time zone")
    return moment


def _read(path: Path, hint: str) -> bytes:
    try:
        return read_input(path)
    except DataError as error:
        if not path.exists():
            raise TrustError(f"{path}: is missing ({hint})") from None
        raise TrustError(str(error)) from error
