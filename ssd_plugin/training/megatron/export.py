"""From the trained Megatron model back to a Hugging Face directory, and the proof that both are the same model."""

import itertools
import shutil
from typing import Any

import torch
from megatron.bridge.training.callbacks import Callback
from megatron.bridge.training.config import ConfigContainer
from megatron.bridge.training.gpt_step import forward_step
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func

from ssd_plugin.jsonl import write_json
from ssd_plugin.training.megatron.job import EXPORTED, REPORT, probes
from ssd_plugin.training.megatron.rows import Rows, multiple_of, read_examples
from ssd_plugin.training.protocol import TrainJob


class Export(Callback):  # type: ignore[misc]  # Bridge has no types
    """At the end of training: weights to `work/exported`, and in `work/export.json` each probe example's loss (nats a
    label) by the Megatron model as it stands in memory, for the trainer to compare with the exported one's."""

    def __init__(self, hub: Any, job: TrainJob, config: ConfigContainer) -> None:
        self._hub, self._job, self._config = hub, job, config

    def on_train_end(self, context: Any) -> None:
        """Bridge calls this on every rank; all of them take part."""
        losses = self._probe(context)
        target = self._job.work / EXPORTED
        if torch.distributed.get_rank() == 0:
            shutil.rmtree(target, ignore_errors=True)
        torch.distributed.barrier()
        self._hub.save_hf_pretrained(context.model, str(target), show_progress=False)
        torch.distributed.barrier()
        if torch.distributed.get_rank() == 0:
            write_json(self._job.work / REPORT, {"step": context.state.train_state.step, "losses": losses})

    def _probe(self, context: Any) -> list[float]:
        """Mean loss of each probe example, the same list on every rank."""
        dataset = self._config.dataset
        examples, _ = read_examples(self._job, dataset.vocabulary)
        rows = Rows(examples, probes(len(examples)), multiple_of(self._job.config), dataset.dense_mask)
        for part in context.model:
            part.eval()
        totals = torch.zeros(len(rows), 2, device=torch.cuda.current_device())
        for index in range(len(rows)):
            reduced = self._forward(context, rows[index])
            if reduced:  # on the last pipeline stage
                totals[index] = torch.stack([value["lm loss"] for value in reduced]).sum(0)
        torch.distributed.all_reduce(totals, group=parallel_state.get_context_parallel_group())
        torch.distributed.broadcast(totals, _last_stage(), group=parallel_state.get_pipeline_model_parallel_group())
        return (totals[:, 0] / totals[:, 1]).tolist()

    def _forward(self, context: Any, row: dict[str, torch.Tensor]) -> list[Any]:
        def step(rows: Any, model: Any) -> Any:
            return forward_step(context.state, rows, model)

        with torch.no_grad():
            found: list[Any] = get_forward_backward_func()(
                forward_step_func=step,
                data_iterator=itertools.repeat(row, 1),
                model=context.model,
                num_microbatches=1,
                seq_length=row["tokens"].shape[1],
                micro_batch_size=1,
                forward_only=True,
            )
        return found


def _last_stage() -> int:
    rank: int = parallel_state.get_pipeline_model_parallel_last_rank()
    return rank
