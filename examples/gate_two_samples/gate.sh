#!/usr/bin/env bash
# Judge a samples file (candidate.jsonl, or the one that is named) against the champion's. The exit status is the verdict's.
set -eu
cd "$(dirname "$0")"
exec ssd gate --policy smoke --tasks tasks.jsonl --baseline champion.jsonl --candidate "${1:-candidate.jsonl}" \
    --ledger looks.jsonl --out verdict
