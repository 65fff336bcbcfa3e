"""Test-only: the embedded backend on a Megatron job, in float32 on any CPU; prints each step's loss as one JSON list."""

import dataclasses
import json
import sys
from pathlib import Path

from ssd_plugin.training import embedded
from ssd_plugin.training.megatron.job import job_from_json

vars(embedded)["has_fast_bfloat16"] = lambda *_: False
job = job_from_json(json.loads(Path(sys.argv[1]).read_text()))
job = dataclasses.replace(job, config=dataclasses.replace(job.config, backend="embedded"))
embedded.EmbeddedTrainer().train(job)
print(json.dumps([json.loads(line)["loss"] for line in (job.work / "log.jsonl").read_text().splitlines()]))
