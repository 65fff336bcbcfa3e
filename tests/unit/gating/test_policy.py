"""Policies: what is refused, with the key's path; and that every shipped policy can be used."""

from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ssd_plugin.cli.main import main
from ssd_plugin.errors import ConfigError
from ssd_plugin.gating.discovery import load_gates
from ssd_plugin.gating.policy import load_policy, shipped_policies
from ssd_plugin.gating.run import load_bench
from ssd_plugin.gating.verdict import Tier

SOUND = """
schema = "ssd-policy/1"
name = "p"
description = "d"
promotable = true
sandbox = "landlock"
min_tasks = 10
min_samples = 1

[[overrides]]
gate = "lint"
reason = "a known false alarm"
expires = 2027-03-01

[gates.integrity]
tier = "critical"
[gates.artifact]
tier = "critical"
[gates.correctness]
tier = "critical"
margin = 0.02
[gates.lint]
tier = "supporting"
timeout_s = 30.0
"""


def load(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return load_policy(str(path))


def test_a_sound_policy_loads(tmp_path: Path) -> None:
    policy = load(tmp_path, SOUND)
    assert policy.gates["correctness"].settings == {"margin": 0.02}
    assert policy.gates["lint"].timeout_s == 30
    assert policy.override_of("lint").expires.isoformat() == "2027-03-01"
    assert policy.override_of("correctness") is None
    assert len(policy.sha256) == 64


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "p"', 'name = "p"\nnmae = "q"', "nmae is not a known key"),
        ('name = "p"', 'name = "p"\nsha256 = "0"', "sha256 is not a known key"),
        ('name = "p"\n', "", "name is missing"),
        ("ssd-policy/1", "ssd-policy/9", "schema"),
        ("promotable = true", "promotable = 1", "promotable = 1 is not allowed; allowed: true or false"),
        ("min_tasks = 10", "min_tasks = 1", "min_tasks = 1"),
        ("min_tasks = 10", "min_tasks = 10.5", "min_tasks = 10.5 is not allowed; allowed: a whole number"),
        ("min_tasks = 10", "min_tasks = 10\nalpha = nan", "alpha = nan is not allowed; allowed: a finite number"),
        ("min_tasks = 10", "min_tasks = 10\nalpha = 0.5", "alpha = 0.5"),
        ("min_tasks = 10", "min_tasks = 10\nlooks = 3", "looks = 3"),
        ("min_tasks = 10", "min_tasks = 10\nplugins = 'x'", "plugins = 'x' is not allowed; allowed: a list"),
        ('sandbox = "landlock"', 'sandbox = "none"', "sandbox = 'none'"),
        ('sandbox = "landlock"', 'sandbox = "rlimits"', "rlimits stop no attack"),
        ('[gates.integrity]\ntier = "critical"', "", "gates.integrity must be there"),
        ('[gates.integrity]\ntier = "critical"', '[gates.integrity]\ntier = "advisory"', "gates.integrity must be"),
        ('[gates.artifact]\ntier = "critical"', "", "promotable = true needs"),
        ('[gates.artifact]\ntier = "critical"', '[gates.artifact]\ntier = "supporting"', "promotable = true needs"),
        ('[gates.correctness]\ntier = "critical"', '[gates.correctness]\ntier = "supporting"', "requires nothing"),
        ('tier = "supporting"', 'tier = "optional"', "gates.lint.tier = 'optional' is not allowed; allowed: critical"),
        ('tier = "supporting"\n', "", "gates.lint.tier is missing"),
        ("timeout_s = 30.0", "timeout_s = 0", "gates.lint.timeout_s"),
        ("timeout_s = 30.0", "memory_mib = 32", "gates.lint.memory_mib = 32 is not allowed; allowed: 64 to 16777216"),
        ("timeout_s = 30.0", "memory_mib = 1e9", "gates.lint.memory_mib"),
        ("timeout_s = 30.0", 'timeout_s = "1"', "gates.lint.timeout_s = '1' is not allowed; allowed: a finite number"),
        ('gate = "lint"', 'gate = "secrets"', "overrides[0].gate = 'secrets' is not a gate of this policy"),
        ('gate = "lint"', 'gate = "integrity"', "can never be overridden"),
        ('gate = "lint"', 'gate = "artifact"', "can never be overridden"),
        ('reason = "a known false alarm"', 'reason = " "', "overrides[0].reason is empty"),
        ("expires = 2027-03-01\n", "", "overrides[0].expires is missing"),
        ("expires = 2027-03-01", 'expires = "soon"', "overrides[0].expires = 'soon'"),
        ("[[overrides]]", '[[overrides]]\ngate = "lint"\nreason = "r"\nexpires = 2027-01-01\n[[overrides]]', "twice"),
    ],
)
def test_mistakes_are_refused_by_path(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert SOUND.count(old) >= 1
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, SOUND.replace(old, new, 1))
    assert said in str(refused.value)
    assert "policy.toml" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gates = 3",
        "[gates]",
        "[gates]\nlint = 3",
        "schema = ",
        "\x00",
        "name = 'é",
        "a = " + "[" * 9000,
        "a = " + "9" * 5000,
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        load(tmp_path, text)


def test_a_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match="neither a file nor one of default, embedded, enterprise, samples_only, smoke, ssd_out_of_domain, strict",
    ):
        load_policy("nowhere")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("margin = 0.02\nk = 3", r"gates\.correctness\.k is not a known key; allowed: margin"),
        ("margin = true", r"gates\.correctness\.margin = True"),
        ("margin = 0", r"gates\.correctness\.margin = 0.0 is not allowed; allowed: above 0, below 1"),
        ("margin = 3", r"gates\.correctness\.margin = 3.0"),
        ("margin = inf", r"gates\.correctness\.margin = inf"),
        ('margin = "2 %"', r"gates\.correctness\.margin"),
    ],
)
def test_settings_are_checked_against_the_gate(tmp_path: Path, setting: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(SOUND.replace("margin = 0.02", setting))
    with pytest.raises(ConfigError, match=said):
        load_bench(str(path))


@pytest.mark.parametrize(
    ("gate", "setting", "allowed"),
    [
        ("collapse", "k = 1000000000", "1 to 5000"),
        ("collapse", "k = 0", "1 to 5000"),
        ("static_analysis", "k = -1", "1 to 5000"),
        ("collapse", "distinct_share = 1", "above 0, below 1"),
        ("collapse", "distinct_share = 80.0", "above 0, below 1"),
        ("contamination", "max_share = 1.5", "0 to 1"),
        ("contamination", "template_share = -0.1", "0 to 1"),
        ("contamination", "n = 0", "1 to 1000"),
        ("domain_shift", "corpus_functions = 0", "50 to 1e+06"),
        ("domain_shift", "minimum_domain = 0", "1 to 1e+06"),
        ("domain_shift", "nll_documents = -1", "0 to 1e+06"),
        ("imports", "imitated = -1", "0 to 1e+06"),
        ("secrets", "minimum_length = 0", "1 to 1000"),
        ("lint", 'select = ""', "ruff rules, such as E9,F8"),
        ("lint", 'select = "--config=x"', "ruff rules, such as E9,F8"),
        ("artifact", 'approved_tokenizers = ["abc"]', "a SHA-256 digest, 64 hex digits in lower case"),
    ],
)
def test_a_setting_that_can_only_end_in_an_error_is_refused_before_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gate: str, setting: str, allowed: str
) -> None:
    path = tmp_path / "policy.toml"
    header = f"[gates.{gate}]\n"
    text = SOUND if header in SOUND else f'{SOUND}{header}tier = "critical"\n'
    path.write_text(text.replace(header, f"{header}{setting}\n"))
    with pytest.raises(SystemExit) as stopped:
        main(["gate", "--check-policy", str(path)])
    assert stopped.value.code == 3
    said = capsys.readouterr().err
    assert f"gates.{gate}.{setting.split(' =')[0]}" in said
    assert f"is not allowed; allowed: {allowed}" in said


def test_every_number_of_a_built_in_gate_says_its_bounds() -> None:
    bare = [
        f"{name}.{field}"
        for name, found in load_gates().items()
        for field, kind in get_type_hints(found.gate.settings, include_extras=True).items()
        if kind in (int, float)
    ]
    assert bare == []


def test_shipped_policies_are_usable() -> None:
    policies = shipped_policies()
    elsewhere = "ssd_out_of_domain"
    assert set(policies) == {"default", "embedded", "enterprise", "samples_only", "smoke", "strict", elsewhere}
    for name in policies:
        bench = load_bench(name)
        assert bench.policy.name == name
        assert set(bench.gates) == set(bench.policy.gates), "a shipped policy names a gate that is not there"
        assert name == elsewhere or bench.policy.gates["integrity"].tier is Tier.CRITICAL
        assert not bench.policy.overrides
        assert bench.policy.promotable is (name in ("default", "enterprise", "strict"))


def test_stricter_policies_tolerate_less() -> None:
    order = [load_bench(name) for name in ("smoke", "default", "enterprise", "strict")]
    for looser, tighter in pairwise(order):
        for gate in ("correctness", "generation_zero", "secrets", "imports", "lint"):
            assert tighter.settings[gate].margin < looser.settings[gate].margin
        assert tighter.policy.min_tasks > looser.policy.min_tasks


def check_policy(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["gate", "--check-policy", *arguments])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_checking_no_policy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = check_policy(capsys)
    assert (status, out) == (3, "")
    assert "needs policies to check" in err
    assert check_policy(capsys, "--policy", "smoke") == (0, "smoke: ok\n", "")
    assert check_policy(capsys, "--policy", "smoke", "strict")[:2] == (0, "strict: ok\nsmoke: ok\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("margin = 0.02", "margin = 3"),
        ("promotable = true", 'promotable = true\nplugins = ["nobody-has-this"]'),
        ("[gates.lint]", "[gates.lnit]"),
        ('gate = "lint"', 'gate = "lnit"'),
        ("2027-03-01", "2020-03-01"),
        ("schema", "scheme"),
    ],
)
def test_every_refusal_names_the_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(SOUND.replace(old, new))
    status, _, err = check_policy(capsys, str(path))
    assert (status, err.count("\n")) == (3, 1)
    assert err.startswith(f"ssd: {path}: ")
