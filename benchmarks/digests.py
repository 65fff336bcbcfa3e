"""How often a model's bytes are read by what a run asks of it, and for how long, on a made-up model directory.

    python benchmarks/digests.py [--gigabytes 8] [--folder DIR]

A run asks for the digest of the base when it resolves the model, samples, trains, selects and evaluates, and for each output
directory when a stage records it and the next one checks it. Writes `benchmarks/results/digests.md`.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _machine import RESULTS, facts

from ssd_plugin.core.digests import model_digests, model_identity
from ssd_plugin.models.weights import model_digest
from ssd_plugin.pipeline.run_directory import digest_path

SHARDS = 4
ASKED = 8  # times that a run asks for the base


def make_model(folder: Path, gigabytes: float) -> Path:
    """Shards of random bytes, older than the few seconds in which a file counts as being written."""
    model = folder / "model"
    model.mkdir()
    block = os.urandom(1 << 24)
    for number in range(SHARDS):
        with (model / f"model-{number + 1:05d}-of-{SHARDS:05d}.safetensors").open("wb") as stream:
            for _ in range(round(gigabytes * 1e9 / SHARDS / len(block))):
                stream.write(block)
    time.sleep(3)
    return model


def seconds(ask: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        os.environ["XDG_STATE_HOME"] = f"{name}/state"
        model = make_model(Path(name), given.gigabytes)
        anew = sum(seconds(lambda: model_identity(model_digests(model))) for _ in range(ASKED))
        asked = [seconds(lambda: model_digest(model)) for _ in range(ASKED)]
        recorded = seconds(lambda: digest_path(model))
    lines = [
        "# Digests of a model in a run",
        "",
        f"{given.gigabytes:g} GB in {SHARDS} shards, asked for {ASKED} times; {facts('numpy')}.",
        "",
        "| | seconds |",
        "|---|---|",
        f"| read each time | {anew:.1f} |",
        f"| read once, then known by inode, size and times | {sum(asked):.1f} |",
        f"| of that, all after the first | {sum(asked[1:]):.3f} |",
        f"| as a stage's output (other names, same files) | {recorded:.3f} |",
        "",
        "What is signed, verified or promoted is read again each time.",
        "",
    ]
    (RESULTS / "digests.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
