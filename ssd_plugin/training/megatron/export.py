"""From the Megatron model back to a Hugging Face directory, and what proves that both are the same model.

It is done twice: once before the first step, so that an export that does not work costs minutes and no training run, and at
the end.
"""

import importlib.metadata
import inspect
import itertools
import shutil
from pathlib import Path
from typing import Any

import torch
from megatron.bridge.training.callbacks import Callback
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.utils import get_batch_on_this_cp_rank
from safetensors.torch import save_file

from ssd_plugin.core.jsonl import read_json, write_json
from ssd_plugin.errors import DataError, TrainingError
from ssd_plugin.training.examples import Examples
from ssd_plugin.training.megatron.job import EXPORTED, FAILURE, LOGITS, REHEARSAL, REHEARSED, REPORT, probes
from ssd_plugin.training.megatron.logits import export_fault
from ssd_plugin.training.megatron.rows import multiple_of
from ssd_plugin.training.protocol import TrainJob

FRAMEWORKS = ("megatron-bridge", "megatron-core")


class Export(Callback):  # type: ignore[misc]  # Bridge has no types
    """Weights to a Hugging Face directory, and the logits of the probe examples by the Megatron model as it stands in memory
    beside them: before training to compare both at once, after it for the trainer to compare."""

    def __init__(self, hub: Any, job: TrainJob, vocabulary: int) -> None:
        self._hub, self._job, self._vocabulary = hub, job, vocabulary

    def on_train_start(self, context: Any) -> None:
        """Bridge calls this on every rank; all of them take part. Done once a job and pair of frameworks.

        Raises:
            TrainingError: the exported model is not the one in memory.
        """
        marker, versions = self._job.work / REHEARSED, {name: importlib.metadata.version(name) for name in FRAMEWORKS}
        try:
            done = read_json(marker) == versions
        except DataError:
            done = False
        folder = self._job.work / REHEARSAL
        if done:
            return
        if torch.distributed.get_rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        torch.distributed.barrier()
        self._export(context.model, folder)
        for part in context.model:
            part.train()
        if torch.distributed.get_rank() == 0:
            examples = Examples(self._job.examples, seq_length=self._job.config.seq_length, vocabulary=self._vocabulary)
            fault = export_fault(self._job.base_model, folder / EXPORTED, folder / LOGITS, probes(examples))
            shutil.rmtree(folder)
            if fault:
                message = f"before the first step, the exported model is not the one in memory: {fault}"
                write_json(self._job.work / FAILURE, {"message": message})
                raise TrainingError(message)
            write_json(marker, versions)
        torch.distributed.barrier()

    def on_train_end(self, context: Any) -> None:
        """Bridge calls this on every rank; all of them take part."""
        step = context.state.train_state.step
        if step != self._job.config.train_iters:
            return
        self._export(context.model, self._job.work)
        if torch.distributed.get_rank() == 0:
            write_json(self._job.work / REPORT, {"step": step})

    def _export(self, model: list[Any], folder: Path) -> None:
        self._save_logits(model, folder / LOGITS)
        target = folder / EXPORTED
        if torch.distributed.get_rank() == 0:
            shutil.rmtree(target, ignore_errors=True)
        torch.distributed.barrier()
        self._hub.save_hf_pretrained(model, str(target), show_progress=False)
        torch.distributed.barrier()

    def _save_logits(self, model: list[Any], file: Path) -> None:
        examples = Examples(self._job.examples, seq_length=self._job.config.seq_length, vocabulary=self._vocabulary)
        for part in model:
            part.eval()
        found = {}
        for number, ids in enumerate(probes(examples)):
            logits = self._logits(model, ids)
            if logits is not None:
                found[str(number)] = logits[: len(ids), : self._vocabulary].float().cpu().contiguous()
        data_rank = parallel_state.get_data_parallel_rank(with_context_parallel=True)
        if found and data_rank == parallel_state.get_tensor_model_parallel_rank() == 0:
            save_file(found, file)

    def _logits(self, model: list[Any], ids: list[int]) -> torch.Tensor | None:
        """Logits "tokens vocabulary", both padded, on the last pipeline stage's ranks; None on the others."""
        room = -(-len(ids) // multiple_of(self._job.config)) * multiple_of(self._job.config)
        tokens = torch.zeros(1, room, dtype=torch.long, device=torch.cuda.current_device())
        tokens[0, : len(ids)] = torch.tensor(ids)
        positions = torch.arange(room, device=tokens.device)[None]
        ours = share_of_sequence({"tokens": tokens, "position_ids": positions})

        def step(_: Any, part: Any) -> Any:
            output = part(ours["tokens"], ours["position_ids"], None, runtime_gather_output=True)
            return output, lambda logits, **_: logits

        with torch.no_grad():
            found: list[torch.Tensor] = get_forward_backward_func()(
                forward_step_func=step,
                data_iterator=itertools.repeat(None),
                model=model,
                num_microbatches=1,
                seq_length=room,
                micro_batch_size=1,
                forward_only=True,
                collect_non_loss_data=True,
            )
        return _in_order(found[0][0], ours["position_ids"][0]) if found else None


def share_of_sequence(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """This context-parallel rank's part of tensors "batch tokens".

    The group is named: from megatron-core 0.18 on, none stands for all ranks there are, which would slice silently wrong.
    """
    known = inspect.signature(get_batch_on_this_cp_rank).parameters
    flags = {"is_hybrid_cp": False} if "is_hybrid_cp" in known else {}  # required from 0.18 on
    group = parallel_state.get_context_parallel_group()
    ours: dict[str, torch.Tensor] = get_batch_on_this_cp_rank(batch, cp_group=group, **flags)
    return ours


def _in_order(logits: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The rows of all context-parallel ranks, each of which holds the logits at some positions, in the tokens' order."""
    group = parallel_state.get_context_parallel_group()
    size = torch.distributed.get_world_size(group)
    rows = [torch.empty_like(logits) for _ in range(size)]
    places = [torch.empty_like(positions) for _ in range(size)]
    torch.distributed.all_gather(rows, logits.contiguous(), group=group)
    torch.distributed.all_gather(places, positions.contiguous(), group=group)
    return torch.cat(rows)[torch.cat(places).argsort()]
