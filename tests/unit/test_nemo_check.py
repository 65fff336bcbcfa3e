"""The doctor's question about NeMo, where NeMo-Run is not installed."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from ssd_plugin.integrations.nemo import check


def test_says_how_to_install_nemo_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    status = check._inspect()
    assert (status.installed, status.loaded) == (False, False)
    assert check.INSTALL in status.detail


def test_refuses_an_old_nemo_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.3.0")
    status = check._inspect()
    assert (status.installed, status.loaded) == (True, False)
    assert "0.4.0 to 0.11.1 work" in status.detail


def test_a_process_that_says_nothing_is_not_loaded(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    python.chmod(0o755)
    status = check.check_nemo(str(python))
    assert not status.loaded
    assert status.detail.endswith("broken")


def test_a_python_that_is_not_there_is_named() -> None:
    status = check.check_nemo(f"{sys.prefix}/no-such-python")
    assert not status.loaded
    assert "no-such-python" in status.detail
