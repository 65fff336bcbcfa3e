"""Test-only: what each of four context-parallel ranks of eight would take of a sequence, by the installed megatron-core, whose
groups are stood in for. Prints one JSON list of token lists; with `bare`, by the call without group and flag."""

import json
import sys
from typing import Any

import te_stub

te_stub.install()
import torch  # noqa: E402
import torch.distributed  # noqa: E402
from megatron.core import parallel_state  # noqa: E402
from megatron.core.utils import get_batch_on_this_cp_rank  # noqa: E402

from ssd_plugin.training.megatron import export  # noqa: E402


class Group:
    """As much of a process group as slicing asks for."""

    def __init__(self, ranks: int, rank: int) -> None:
        self.size, self.rank = (lambda: ranks), (lambda: rank)


def share(rank: int) -> list[int]:
    """Of 32 tokens, by rank `rank` of the four of its group."""
    parallel_state.get_context_parallel_group = lambda: Group(4, rank)
    world: Any = torch.distributed
    world.is_initialized = lambda: True
    world.get_world_size = lambda group=None: group.size() if group else 8
    world.get_rank = lambda group=None: group.rank() if group else rank
    slice_of: Any = get_batch_on_this_cp_rank if "bare" in sys.argv else export.share_of_sequence
    found: list[int] = slice_of({"tokens": torch.arange(32)[None]})["tokens"][0].tolist()
    return found


print(json.dumps([share(rank) for rank in range(4)]))
