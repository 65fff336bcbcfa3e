"""The threat model's table names every canary that a grading run grades, and no other."""

import re
from pathlib import Path

from ssd_plugin.grading.canaries import _targets, canaries
from ssd_plugin.sandbox.tiers import SandboxTier

PAGE = Path(__file__).parents[3] / "docs" / "threat-model.md"


# Kinds of attack that beat the grader once; right programs that it refused are in `test_sandbox_conformance.py`.
ONCE_HELD = {
    "cheat: members that collide",
    "cheat: two surrogates for one character",
    "cheat in a suite: foresees the suite's random draws",
    "cheat in a suite: equal to every object",
    "cheat in a suite: reads the suite's memory",
    "escape: writes under every mount",
    "escape: locks files of the library",
}


def test_what_beat_the_grader_once_is_tried_on_every_run() -> None:
    with _targets() as (targets, _):
        for tier in (SandboxTier.NAMESPACES, SandboxTier.LANDLOCK):
            assert {canary.name for canary in canaries(tier, targets)} >= ONCE_HELD


def test_the_table_is_the_set() -> None:
    table = PAGE.read_text().partition("## The canaries")[2].partition("\n## ")[0]
    named = re.findall(
        r"`((?:cheat|cheat in a suite|cheat on stdout|escape|endless|source|known-good|known-bad): [^`]+)`", table
    )
    with _targets() as (targets, _):
        run = [
            canary.name for tier in (SandboxTier.NAMESPACES, SandboxTier.LANDLOCK) for canary in canaries(tier, targets)
        ]
    assert len(named) > 60
    assert sorted(named) == sorted(set(run))
