#!/usr/bin/env bash
# Sample two served models and judge the second against the first. The exit status is the verdict's.
# SERVER, CHAMPION, CANDIDATE and, where a key is needed, KEY_ENV (the name of its variable) are yours; without SERVER
# a stand-in serves two.
set -eu
cd "$(dirname "$0")"
if [ -z "${SERVER:-}" ]; then
    rm -f -- champion.jsonl* candidate.jsonl*  # of a stand-in at another address
    exec python3 stand_in.py ./gate.sh
fi
tasks=../gate_two_samples/tasks.jsonl
for side in champion candidate; do
    model=$CANDIDATE
    if [ $side = champion ]; then model=$CHAMPION; fi
    ssd generate --tasks $tasks --server "$SERVER" --model "$model" ${KEY_ENV:+--key-env "$KEY_ENV"} \
        --samples 4 --temperature 0.2 --max-new-tokens 512 --out $side.jsonl
done
exec ssd gate --policy smoke --tasks $tasks --baseline champion.jsonl --candidate candidate.jsonl \
    --ledger looks.jsonl --out verdict
