#!/bin/sh
# Run before anything that puts a model into production; go on only if it exits 0.
# SSD_VERDICT: verdict.json.  SSD_MODEL: the model's directory.  SSD_TRUST: the public key of who may sign verdicts.
# SSD_POLICY: the policy that must have judged, a file or a shipped one's name.
# Exit 0: a valid GO by that policy, which may promote, over exactly these files.  1: refused, with the reason.  3: a variable is missing or a path is wrong.
for name in SSD_VERDICT SSD_MODEL SSD_TRUST SSD_POLICY; do
  eval "value=\${$name:-}"
  if [ -z "$value" ]; then
    echo "pre_promotion: set $name" >&2
    exit 3
  fi
done
exec ssd verify --promotable --verdict "$SSD_VERDICT" --model "$SSD_MODEL" --trust "$SSD_TRUST" --policy "$SSD_POLICY"
