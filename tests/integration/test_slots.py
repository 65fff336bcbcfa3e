"""The cache of slots: what it keeps when it grows, and what memory it takes."""

import sys
from pathlib import Path

import pytest
import torch

from ssd_plugin.sampling.slots import SlotLayer


def layer_with(keys: torch.Tensor) -> SlotLayer:
    """A layer that holds these keys, and the same values."""
    layer = SlotLayer()
    layer.lazy_initialization(keys, keys)
    layer.reserve(keys.shape[0], keys.shape[2], ())
    layer.keys[: keys.shape[0], :, : keys.shape[2]] = keys
    layer.values[: keys.shape[0], :, : keys.shape[2]] = keys
    return layer


def anonymous_memory() -> int:
    """Bytes of this process that no file holds and that it does not share."""
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024


def test_growth_keeps_what_is_filled() -> None:
    keys = torch.randn(3, 2, 10, 4)
    layer = layer_with(keys)
    filled = (10, 4, 0)
    layer.reserve(9, 300, filled)
    for slot, length in enumerate(filled):
        assert torch.equal(layer.keys[slot, :, :length], keys[slot, :, :length])
        assert torch.equal(layer.values[slot, :, :length], keys[slot, :, :length])
        assert not layer.keys[slot, :, length:].any()
    assert layer.keys.shape[0] >= 9
    assert layer.keys.shape[2] >= 300


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_positions_that_nothing_was_written_to_take_no_memory_even_when_they_are_read() -> None:
    layer = layer_with(torch.randn(2, 4, 8, 64))
    before = anonymous_memory()
    layer.reserve(64, 4096, (8, 8))  # 256 MB of keys, as much of values
    assert float(layer.keys.sum() + layer.values.sum()) != 0
    assert anonymous_memory() - before < 32e6
