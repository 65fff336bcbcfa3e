"""The scans of hostile programs take work in proportion to the text."""

import pytest

from ssd_plugin.gates import imports, secrets


def test_a_name_too_long_to_imitate_is_not_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "_neighbours", lambda name: pytest.fail("varied"))
    rule, message = imports.suspicion("q" * 100_000, imports.PackageIndex(), imports.Settings()) or ("", "")
    assert rule == "unknown-import"
    assert len(message) < 250


@pytest.mark.timeout(60)  # quadratic work on a megabyte takes hours
@pytest.mark.parametrize("unit", ["-eyJ", "-eyJaaaaaaaaaa", "<", "{", "a://", "\n-----BEGIN PRIVATE KEY-----", "-sk-"])
def test_a_megabyte_of_one_beginning_is_scanned(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    secrets.tokens(text)
    assert not secrets._is_credential("other", text)
    secrets._is_credential("password", text.strip())


def test_lines_are_counted_from_the_last_credential() -> None:
    key = "AKIA" + "A" * 16
    assert [line for _, line, _ in secrets.tokens(f"{key}\n\n{key} {key}\n{key}")] == [1, 3, 3, 4]
