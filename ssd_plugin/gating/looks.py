"""Counts how often a candidate was judged: looks on new data spend alpha, reruns on the same data change nothing.

The record is `looks.jsonl` in the output directory. It is as honest as its keeper: another directory starts a new one, which
is why promotion reads the counts from the signed verdict and CI should keep one output directory a candidate.
"""

from collections.abc import Mapping
from pathlib import Path

from ssd_plugin.errors import GateError
from ssd_plugin.jsonl import read_jsonl, sha256_json, write_jsonl
from ssd_plugin.policy import Policy
from ssd_plugin.verdict import Looks

LEDGER = "looks.jsonl"


def record_look(out: Path, policy: Policy, candidate: str, data: Mapping[str, str]) -> Looks:
    """Enter this gate run and say which look it is.

    `candidate`: digest that stays when the candidate is sampled anew (its weights; its samples when there are no weights).
    `data`: digests of the task file and of all sides. Entered before any gate runs, so an aborted look counts too.

    Raises:
        GateError: the candidate was judged on other data `policy.looks` times already.
    """
    path = out / LEDGER
    rows = [row for _, row in read_jsonl(path)] if path.exists() else []
    now = {"candidate": candidate, "data": sha256_json(dict(data))}
    before = [str(row.get("data")) for row in rows if row.get("candidate") == candidate]
    looks = list(dict.fromkeys([*before, now["data"]]))
    if len(looks) > policy.looks:
        raise GateError(
            f"{path}: this candidate was judged on {len(looks) - 1} data sets already and the policy allows {policy.looks} "
            "looks; sampling until it passes proves nothing: train another candidate"
        )
    write_jsonl(path, [*rows, now])
    return Looks(
        look=looks.index(now["data"]) + 1,
        allowed=policy.looks,
        reruns=before.count(now["data"]),
        alpha=policy.alpha / policy.looks,
    )
