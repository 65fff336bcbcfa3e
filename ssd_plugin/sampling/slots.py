"""A key-value cache of slots: each row writes at its own position, so rows of different ages decode together."""

import math
import mmap
from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

BLOCK = 64


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call] # transformers leaves its registration untyped
    """One layer's keys and values, "slot head position dim", grown in blocks and never concatenated."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = torch.empty(0, dtype=torch.long)
        self.positions = torch.empty(0, dtype=torch.long)
        self.filled: Sequence[int] = ()
        self.extent = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make empty buffers with the heads and dimensions of these states."""
        self.keys = key_states.new_empty(0, key_states.shape[1], 0, key_states.shape[3])
        self.values = value_states.new_empty(0, value_states.shape[1], 0, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one new position a slot ("slot head 1 dim"); return views of all that may be attended to."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.reserve(len(self.slots), self.extent, self.filled)
        self.keys[self.slots, :, self.positions] = key_states[:, :, 0]
        self.values[self.slots, :, self.positions] = value_states[:, :, 0]
        rows = len(self.slots)
        return self.keys[:rows, :, : self.extent], self.values[:rows, :, : self.extent]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the attended keys (the caller's four-dimensional mask is what counts)."""
        return self.extent + query_length - 1, 0

    def get_seq_length(self) -> int:
        """Positions before the current one in the longest slot."""
        return max(self.extent - 1, 0)

    def get_max_length(self) -> int:
        """No maximum: the buffers grow."""
        return -1

    def reserve(self, slots: int, positions: int, filled: Sequence[int]) -> None:
        """Make room, keeping the first `filled[i]` positions of slot i. Buffers grow by a quarter at least, so that copies stay
        rare; what is not filled is not copied either, since its pages would be written to."""
        have_slots, _, have, _ = self.keys.shape
        if slots <= have_slots and positions <= have:
            return
        if positions > have:
            positions = -(-max(positions, have + have // 4) // BLOCK) * BLOCK
        if slots > have_slots:
            slots = max(slots, have_slots + have_slots // 4)
        slots, positions = max(slots, have_slots), max(positions, have)
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = _zeros((slots, old.shape[1], positions, old.shape[3]), old)
            for slot, length in enumerate(filled):
                if length:
                    new[slot, :, :length] = old[slot, :, :length]
            setattr(self, name, new)


def _zeros(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Zeros, on the CPU in a private mapping of their own: a page that nothing was written to takes no memory, even when it is
    read, and all of them go when the buffer does, where the C library's heap would keep the hole."""
    count = math.prod(shape)
    if like.device.type != "cpu" or not count:
        return like.new_zeros(shape)
    memory = mmap.mmap(-1, count * like.element_size(), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(memory, dtype=like.dtype, count=count).view(shape)


class SlotCache(Cache):
    """The cache of a whole model. Slots 0 to `len(lengths)` - 1 are in use; `lengths[i]` positions of slot i are filled."""

    def __init__(self, layers: int) -> None:
        self.slot_layers = [SlotLayer() for _ in range(layers)]
        super().__init__(layers=list(self.slot_layers))
        self.lengths: list[int] = []

    def extend(self, prefilled: DynamicCache | None, lengths: list[int]) -> None:
        """Take new slots: the i-th starts with the first `lengths[i]` positions of row i of a prefilled cache (None: all
        lengths are 0)."""
        first = len(self.lengths)
        self.lengths += lengths
        if prefilled is None:
            return
        for ours, (keys, values, _) in zip(self.slot_layers, prefilled, strict=True):
            if not ours.is_initialized:
                ours.lazy_initialization(keys, values)
            ours.reserve(len(self.lengths), max(lengths) + 1, self.lengths[:first])
            for row, length in enumerate(lengths):
                slot = first + row
                ours.keys[slot, :, :length] = keys[row, :, :length]
                ours.values[slot, :, :length] = values[row, :, :length]

    def fork(self, slot: int, copies: int) -> None:
        """Take so many new slots that start as this one is."""
        first, length = len(self.lengths), self.lengths[slot]
        self.lengths += [length] * copies
        for layer in self.slot_layers:
            if copies and layer.is_initialized:
                layer.reserve(len(self.lengths), length + 1, self.lengths[:first])
                layer.keys[first : first + copies, :, :length] = layer.keys[slot, :, :length]
                layer.values[first : first + copies, :, :length] = layer.values[slot, :, :length]

    def remove(self, slot: int) -> None:
        """Free a slot; the last slot in use moves into it."""
        last = len(self.lengths) - 1
        length = self.lengths.pop()
        if slot == last:
            return
        self.lengths[slot] = length
        for layer in self.slot_layers:
            layer.keys[slot, :, :length] = layer.keys[last, :, :length]
            layer.values[slot, :, :length] = layer.values[last, :, :length]

    def begin_step(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Open one new position in every slot in use.

        Returns:
            The new positions ("rows") and which keys each row may attend to ("rows extent").
        """
        positions = torch.tensor(self.lengths, device=device)
        extent = max(self.lengths) + 1
        slots = torch.arange(len(self.lengths), device=device)
        for layer in self.slot_layers:
            layer.slots, layer.positions, layer.filled, layer.extent = slots, positions, self.lengths, extent
        self.lengths = [length + 1 for length in self.lengths]
        return positions, torch.arange(extent, device=device) <= positions[:, None]
