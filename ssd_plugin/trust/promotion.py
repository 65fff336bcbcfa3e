"""Move a model to its registry's alias, on a valid GO only, and back again."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ssd_plugin.core.digests import model_identity
from ssd_plugin.errors import RegistryError, TrustError
from ssd_plugin.gating.verdict import PolicyRef
from ssd_plugin.trust.evidence_files import MODEL_SIGNATURE, VERDICT
from ssd_plugin.trust.keyless import Trust
from ssd_plugin.trust.model_signature import Signer, sign_model
from ssd_plugin.trust.registry.protocol import Registry, Release
from ssd_plugin.trust.verification import Verified, require_model, verify, verify_signature


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What happened to the alias. `before`: the version it left, empty if there was none; equal to the new one when the
    model already was champion and nothing was done."""

    where: str
    version: str
    before: str


def promote(
    verdict: Path,
    model: Path,
    registry: Registry,
    trusted: Trust,
    *,
    policy: PolicyRef | None = None,
    signer: Signer | None = None,
    now: datetime | None = None,
) -> Promotion:
    """Copy a model and its evidence into the registry and point the alias at them.

    What is checked in full is the registry's own copy, after it was made: whatever happens to the given files
    meanwhile, the alias only ever points at bytes that a trusted key signed for. Nothing is done where the model is the champion
    already by a verdict that holds; where that one does not (it has expired), the new one takes its place, and what it replaced
    is still what a rollback goes to. `policy`: the one that must have judged; default any. `signer`: who also signs the model
    for other tools; it must be trusted, and the signature is kept and checked with the evidence.

    Raises:
        TrustError: not a valid GO of a trusted key over exactly these files, a policy that cannot promote or is not the one
            demanded, a baseline that is not the registry's champion, or a verdict whose version was replaced or rolled back.
        RegistryError, ResourceError: the registry failed; its alias is where it was.
    """
    now = now or datetime.now(UTC)
    verified = verify(verdict, trusted, policy=policy, now=now)
    _require_promotable(verified, verdict)
    with registry.locked():
        champion = registry.champion()
        judged = model_identity(verified.model())
        again = champion is not None and champion.model == judged
        if champion and again and _holds(champion, registry, trusted, policy, signer, now):
            require_model(verified, model)
            return Promotion(where=registry.where, version=champion.version, before=champion.version)
        if champion and not again:
            _require_successor(verified, champion, registry)
        replaced = "" if champion is None else champion.replaces if again else champion.version
        draft = Release(version="", model=judged, verdict=verified.verdict_sha256, replaces=replaced)
        with _evidence(verified, verdict.parent, model, signer) as evidence:
            release = registry.add(model, evidence, draft)
        try:
            _check_copy(registry, release, trusted, now)
        except TrustError as error:
            registry.discard(release)
            raise TrustError(f"in the copy of {model}: {error}") from error
        registry.point(release, "promote")
    return Promotion(where=registry.where, version=release.version, before=champion.version if champion else "")


def roll_back(registry: Registry, trusted: Trust) -> Promotion:
    """Point the alias at the version that the current champion replaced. That version's signature and digests are
    checked again; its verdict may have expired, since it was champion by right.

    Raises:
        TrustError: the registry's files are not those that a trusted key signed for.
        RegistryError: there is nothing to go back to, or the registry failed.
    """
    if registry.champion() is None:
        raise RegistryError(f"{registry.where}: has no champion: nothing was promoted yet")
    with registry.locked():
        champion = registry.champion()
        earlier = next((r for r in registry.releases() if champion and r.version == champion.replaces), None)
        if champion is None or earlier is None:
            raise RegistryError(f"{registry.where}: its champion is the first: there is none to go back to")
        with registry.contents(earlier) as (model, evidence):
            verified = verify_signature(evidence / VERDICT, trusted)
            if verified.verdict_sha256 != earlier.verdict:
                raise TrustError(
                    f"{evidence / VERDICT}: is not the verdict that version {earlier.version} was promoted with"
                )
            require_model(verified, model)
        registry.point(earlier, "rollback")
    return Promotion(where=registry.where, version=earlier.version, before=champion.version)


@contextmanager
def _evidence(verified: Verified, folder: Path, model: Path, signer: Signer | None) -> Iterator[Mapping[str, Path]]:
    """The files of the evidence by their names, a new signature of the model among them."""
    files = {name: folder / name for name in verified.evidence}
    with tempfile.TemporaryDirectory(prefix="ssd-") as scratch:
        if signer:
            files[MODEL_SIGNATURE] = Path(scratch, MODEL_SIGNATURE)
            sign_model(model, files[MODEL_SIGNATURE], signer)
        yield files


def _check_copy(registry: Registry, release: Release, trusted: Trust, now: datetime) -> None:
    with registry.contents(release) as (model, evidence):
        copied = verify(evidence / VERDICT, trusted, model=model, now=now)
    if copied.verdict_sha256 != release.verdict:
        raise TrustError("verdict.json was exchanged for another one during the promotion")


def _require_promotable(verified: Verified, path: Path) -> None:
    if not verified.verdict.promotable:
        raise TrustError(f"{path}: its policy, {verified.verdict.policy.name}, cannot promote a model")
    if not verified.model():
        raise TrustError(f"{path}: the verdict judged no model files: run ssd gate with --model")


def _holds(
    champion: Release,
    registry: Registry,
    trusted: Trust,
    policy: PolicyRef | None,
    signer: Signer | None,
    now: datetime,
) -> bool:
    """Whether what the registry keeps of its champion, verdict and files, may still be relied on, and nothing is to be added."""
    try:
        with registry.contents(champion) as (model, evidence):
            kept = verify(evidence / VERDICT, trusted, model=model, policy=policy, now=now)
    except TrustError:
        return False
    return kept.verdict_sha256 == champion.verdict and (signer is None or MODEL_SIGNATURE in kept.evidence)


def _require_successor(verified: Verified, champion: Release, registry: Registry) -> None:
    """The verdict must compare with what is in production now, and must not be one that production went back from."""
    if past := [release.version for release in registry.releases() if release.verdict == verified.verdict_sha256]:
        raise TrustError(
            f"{registry.where}: this verdict made version {past[0]}, which was replaced or rolled back: "
            "run ssd gate against today's champion to promote it again"
        )
    baseline = verified.model("baseline_model")
    if not baseline:
        raise TrustError(
            f"the verdict names no baseline model, so it does not compare with the champion (version {champion.version} of "
            f"{registry.where}): run ssd gate with the champion's directory as the baseline model"
        )
    if model_identity(baseline) != champion.model:
        raise TrustError(
            f"the verdict's baseline is not the champion (version {champion.version} of {registry.where}): "
            "run ssd gate against the champion"
        )
