#!/bin/sh
# EvalPlus and BigCodeBench over a few tasks in their own forms. In an environment with both: sh evalplus_run.sh OUTPUT_FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out"
python "$here/evalplus_samples.py" "$out"
for side in base candidate; do
  HUMANEVAL_OVERRIDE_PATH="$out/tasks.jsonl" evalplus.evaluate --dataset humaneval --samples "$out/$side.jsonl" --parallel 1
done
