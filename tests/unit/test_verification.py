"""`verify` accepts one thing only: a valid GO of a trusted key over exactly these files."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssd_plugin.core.jsonl import sha256_file
from ssd_plugin.errors import TrustError
from ssd_plugin.gating.verdict import GateStatus, Override, PolicyRef, Subject, Tier, Verdict, read_verdict
from ssd_plugin.grading.result_files import sidecar
from ssd_plugin.trust.evidence_files import ENVELOPE
from ssd_plugin.trust.signing import load_trusted, new_keys
from ssd_plugin.trust.statement import statement
from ssd_plugin.trust.verification import Verified, verify


def check(judged: Any, **options: Any) -> Verified:
    return verify(judged.verdict, load_trusted([judged.keys.public]), **{"model": judged.model, **options})


def judged_files(judged: Any) -> list[Path]:
    files = [path for folder in (judged.out, judged.model) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [*files, judged.tasks]


def test_a_signed_go_over_these_files_holds(judged: Any) -> None:
    verified = check(judged)
    assert verified.key_id == judged.keys.key_id
    assert verified.unchecked == ()
    assert set(verified.model()) == {str(p.relative_to(judged.model)) for p in judged.model.rglob("*") if p.is_file()}
    beside = {str(p.relative_to(judged.out)) for p in judged.out.rglob("*") if p.is_file()}
    assert set(verified.evidence) == beside


def test_what_was_not_checked_is_said(judged: Any) -> None:
    judged.tasks.unlink()
    assert check(judged, model=None).unchecked == (
        "tasks ../tasks.jsonl: is not there",
        "the weights: the model's 7 files were not compared (give --model)",
    )


def test_a_verdict_without_a_model_vouches_for_no_weights(judged: Any, factory: Any) -> None:
    judged.sign(factory.verdict())
    assert check(judged, model=None).unchecked == ("the weights: the verdict judged no model",)


def test_nothing_may_lie_among_the_signed_files(judged: Any) -> None:
    for place in ("notes.txt", "graded/baseline.results.jsonl", "programs/candidate/extra.py.txt"):
        extra = judged.out / place
        extra.parent.mkdir(parents=True, exist_ok=True)
        extra.touch()
        with pytest.raises(TrustError, match=f"{extra.name}: is no part of the signed evidence"):
            check(judged)
        extra.unlink()
    lock = judged.out / ".lock"  # of the gate run that wrote the directory
    lock.touch()
    check(judged)
    lock.write_text("what nobody signed")
    with pytest.raises(TrustError, match=r"\.lock: is no part of the signed evidence"):
        check(judged)
    lock.unlink()
    (judged.out / "link").symlink_to(judged.model, target_is_directory=True)
    with pytest.raises(TrustError, match="link: is no part of the signed evidence"):
        check(judged)
    (judged.out / "link").unlink()
    check(judged)


def test_what_the_gate_graded_may_lie_beside_the_evidence_and_is_checked(judged: Any) -> None:
    graded = judged.out / "graded/candidate.results.jsonl"
    graded.parent.mkdir()
    graded.write_text("{}\n")
    sidecar(graded).write_text("{}")
    verdict = judged.go()
    results, about = (
        Subject(role=f"candidate_{kind}", path=f"graded/{path.name}", sha256=sha256_file(path), size=3)
        for kind, path in (("results", graded), ("sidecar", sidecar(graded)))
    )
    judged.sign(replace(verdict, subjects=(*verdict.subjects, results, about)))
    check(judged)
    for path, said in ((graded, r"results\.jsonl"), (sidecar(graded), r"results\.jsonl\.meta\.json")):
        before = path.read_text()
        path.write_text("{} ")
        with pytest.raises(TrustError, match=rf"candidate\.{said}: was changed since"):
            check(judged)
        path.write_text(before)
    judged.sign(replace(verdict, subjects=(*verdict.subjects, results)))
    with pytest.raises(TrustError, match=r"meta\.json: is no part of the signed evidence"):
        check(judged)


def test_an_envelope_with_a_number_of_thousands_of_digits_is_refused_in_one_line(judged: Any) -> None:
    (judged.out / ENVELOPE).write_text('{"payload": ' + "9" * 5000 + "}")
    with pytest.raises(TrustError, match="is not a signing envelope"):
        check(judged)


def test_any_changed_byte_in_any_file_is_refused_with_the_file(judged: Any) -> None:
    files = judged_files(judged)
    assert len(files) == 17

    @settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def flip(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(files))
        original = path.read_bytes()
        position = data.draw(st.integers(0, len(original) - 1))
        changed = bytearray(original)
        changed[position] ^= data.draw(st.integers(1, 255))
        path.write_bytes(changed)
        try:
            with pytest.raises(TrustError) as refusal:
                check(judged)
        finally:
            path.write_bytes(original)
        assert path.name in str(refusal.value)

    flip()
    check(judged)


def test_every_file_can_neither_grow_shrink_nor_vanish(judged: Any) -> None:
    for path in judged_files(judged):
        original = path.read_bytes()
        for content in (original + b"\n", original[:-1], b"", None):
            if content is None and path == judged.tasks:
                continue  # an input that moved away is reported as unchecked
            path.unlink() if content is None else path.write_bytes(content)
            with pytest.raises(TrustError, match=path.name):
                check(judged)
            path.write_bytes(original)
    check(judged)


def test_a_model_may_have_no_file_more(judged: Any) -> None:
    (judged.model / "adapter/extra.py").write_text("x")
    with pytest.raises(TrustError, match=r"adapter/extra\.py is not among the files that were judged"):
        check(judged)


def test_a_judged_file_may_not_become_a_link_to_the_same_content(judged: Any, tmp_path: Path) -> None:
    path = judged.model / "tokenizer.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(TrustError, match=r"tokenizer\.json is a symbolic link"):
        check(judged)


def test_evidence_that_is_a_pipe_or_a_folder_is_refused_at_once(judged: Any) -> None:
    for make in (os.mkfifo, Path.mkdir):
        for name in ("verdict.dsse.json", "verdict.json", "summary.md"):
            path = judged.out / name
            path.rename(judged.out.parent / "kept")
            make(path)
            with pytest.raises(TrustError, match=f"{name}: is not a regular file"):
                check(judged)
            path.unlink() if path.is_fifo() else path.rmdir()
            (judged.out.parent / "kept").rename(path)
    check(judged)


def test_nobody_is_trusted_by_default(judged: Any) -> None:
    with pytest.raises(TrustError, match="no key is trusted"):
        verify(judged.verdict, {}, model=judged.model)
    stranger = new_keys(judged.out.parent / "stranger")
    with pytest.raises(TrustError, match="not trusted"):
        verify(judged.verdict, load_trusted([stranger.public]), model=judged.model)


def test_an_unsigned_verdict_is_refused(judged: Any) -> None:
    (judged.out / "verdict.dsse.json").unlink()
    with pytest.raises(TrustError, match=r"verdict\.dsse\.json: is missing \(the verdict is not signed"):
        check(judged)


def test_another_run_s_signature_does_not_fit(judged: Any) -> None:
    other = judged.sign(judged.go(reason="other"), judged.out.parent / "other")
    (other.parent / "verdict.dsse.json").replace(judged.out / "verdict.dsse.json")
    with pytest.raises(TrustError, match=r"verdict\.json: was changed after it was signed, or belongs to another"):
        check(judged)


@pytest.mark.parametrize("status", [s for s in GateStatus if s is not GateStatus.PASS])
def test_a_signed_verdict_that_is_not_go_is_refused(judged: Any, factory: Any, status: GateStatus) -> None:
    verdict = judged.go()
    worse = factory.verdict(factory.gate(status), subjects=verdict.subjects)
    judged.sign(worse)
    with pytest.raises(TrustError, match=f"the verdict is {worse.outcome}, not GO"):
        check(judged)


def test_a_signed_go_that_its_gates_do_not_support_is_refused(judged: Any, factory: Any) -> None:
    verdict = judged.go()
    judged.sign(replace(verdict, gates=(factory.gate(GateStatus.BREACH),)))
    with pytest.raises(TrustError, match="says GO, but its gates amount to NO-GO"):
        check(judged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"created": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "in the future"),
        (lambda v: {"expires": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}, "expired at"),
        (lambda v: {"expires": "2126-01-01T00:00:00"}, "has no time zone"),
        (lambda v: {"expires": "never"}, "is not a time"),
        (lambda v: {"schema": "ssd-verdict/3"}, "schema is 'ssd-verdict/3'"),
        (lambda v: {"subjects": tuple(s for s in v.subjects if s.role != "model")}, "judged no model files"),
    ],
)
def test_a_signed_verdict_must_be_valid_now(judged: Any, change: Callable[[Any], dict[str, Any]], message: str) -> None:
    verdict = judged.go()
    judged.sign(replace(verdict, **change(verdict)))
    with pytest.raises(TrustError, match=message):
        check(judged)


def test_the_policy_that_is_demanded_must_have_judged(judged: Any) -> None:
    own = read_verdict(judged.verdict).policy
    check(judged, policy=replace(own, name="its name does not matter"))
    with pytest.raises(
        TrustError, match=r"policy default \(SHA-256 a{12}\.\.\.\), and default \(b{12}\.\.\.\) is demanded"
    ):
        check(judged, policy=PolicyRef(name=own.name, sha256="b" * 64))


def test_a_go_that_rests_on_an_override_ends_with_the_override(judged: Any, factory: Any) -> None:
    today = datetime.now(UTC)
    override = Override(gate="style", reason="agreed", expires=(today + timedelta(days=2)).date())
    style = factory.gate(GateStatus.BREACH, Tier.SUPPORTING, override=override)
    judged.sign(factory.verdict(factory.gate(), style, subjects=judged.go().subjects))
    check(judged)
    with pytest.raises(TrustError, match=r"no longer GO: .*override expired"):
        check(judged, now=today + timedelta(days=4))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema": "ssd-verdict/2"}', "[" * 50_000, "\x00"])
def test_a_signature_over_something_else_is_no_verdict(
    judged: Any, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssd_plugin.evidence.write._json", lambda value: content)
    judged.sign(judged.go())
    with pytest.raises(TrustError, match=r"verdict\.json: "):
        check(judged)


def test_a_statement_cannot_lead_out_of_the_evidence_directory(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def forged(verdict: Verdict, evidence: dict[str, str]) -> bytes:
        return statement(verdict, {**evidence, "../tasks.jsonl": "0" * 64})

    monkeypatch.setattr("ssd_plugin.evidence.write.statement", forged)
    judged.sign(judged.go())
    with pytest.raises(TrustError, match="outside the evidence directory"):
        check(judged)


def test_expiry_is_checked_to_the_second(judged: Any) -> None:
    expires = datetime.fromisoformat(read_verdict(judged.verdict).expires)
    check(judged, now=expires - timedelta(seconds=1))
    with pytest.raises(TrustError, match="expired"):
        check(judged, now=expires)
