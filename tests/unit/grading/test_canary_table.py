"""The threat model's table names every canary that a grading run grades, and no other."""

import re
from pathlib import Path

from ssd_plugin.grading.canaries import _targets, canaries
from ssd_plugin.sandbox.tiers import SandboxTier

PAGE = Path(__file__).parents[3] / "docs" / "threat-model.md"


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
