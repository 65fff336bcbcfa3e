"""What every method keeps: its stages fit together, and no package above the methods knows one by name."""

import re
from pathlib import Path

import pytest

from ssd_plugin.config.overrides import apply_overrides
from ssd_plugin.core import run_layout as layout
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods import METHODS, method_of
from ssd_plugin.methods.base import Method
from ssd_plugin.pipeline.runner import run_pipeline
from ssd_plugin.pipeline.stages import stage_module
from ssd_plugin.recipes import load

PACKAGE = Path(__file__).parents[2] / "ssd_plugin"
SHARED = ("prompts", "select", "evaluate", "gate", "promote", "report")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_methods_stages_stand_between_the_shared_ones_and_read_what_was_written(method: Method) -> None:
    own = [stage.name for stage in method.stages]
    assert method.stage_names == (SHARED[0], *own, *SHARED[1:])
    written: set[str] = set()
    for stage in method.pipeline:
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)
    assert {layout.CANDIDATE_MODEL, layout.TRAINING_LOG, method.trained_on} <= written
    for name in own:
        assert (PACKAGE.parent / (stage_module(name).replace(".", "/") + ".py")).is_file()


def test_planning_and_launching_know_no_method_by_name() -> None:
    files = [
        *(PACKAGE / "planning").glob("*.py"),
        *(PACKAGE / "integrations").rglob("*.py"),
        PACKAGE / "pipeline/runner.py",
    ]
    assert len(files) > 20
    for file in files:
        assert not re.search(r"methods\.(?!base)\w+ import", file.read_text()), file


def test_a_stage_that_the_method_has_not_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method = ssd has no stage 'learn'; it has: prompts, sample, "):
        run_pipeline(load("ssd_smollm2_135m")(), tmp_path / "run", until="learn")
    assert not (tmp_path / "run").exists()


def test_the_fixed_point_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    fixed = ["sampling.temperature=1", "sampling.top_k=0", "sampling.top_p=1"]
    config = apply_overrides(load("ssd_smollm2_135m")(), fixed)
    for refuse in (method_of, lambda c: run_pipeline(c, tmp_path / "run")):
        with pytest.raises(ConfigError, match="is a fixed point"):
            refuse(config)
    assert not (tmp_path / "run").exists()
