"""TensorBoard: event files in the run directory, `tracking/tensorboard`, written by TensorBoard's own library alone."""

import html
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ssd_plugin.core.plugins import hookimpl
from ssd_plugin.integrations.tracking.require import require
from ssd_plugin.integrations.tracking.tracker import TrackedRun, Tracker


def _text(tag: str, text: str) -> Any:
    """An event of TensorBoard's text plugin, which draws Markdown."""
    import numpy as np
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    metadata = create_summary_metadata(display_name=tag, description="")
    metadata.data_class = DATA_CLASS_TENSOR
    event = Event(wall_time=time.time(), step=0)
    tensor = make_tensor_proto(np.array([text.encode()], dtype=object))
    event.summary.value.add(tag=tag, tensor=tensor, metadata=metadata)
    return event


def send(run: TrackedRun) -> str:
    """Write the curves by step, every figure at step 0, and verdict, settings and report as text; older events go."""
    from tensorboard.summary import Writer
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for old in run.folder.glob("events.out.tfevents.*"):
        old.unlink()
    scalars = Writer(str(run.folder))
    for name, points in run.curves.items():
        for step, value in points:
            scalars.add_scalar(name, value, step)
    for name, value in run.figures.items():
        scalars.add_scalar(name, value, 0)
    scalars.close()
    texts = EventFileWriter(str(run.folder), filename_suffix=".text")
    for tag, rows in (("verdict", run.tags), ("settings", run.settings)):
        lines = (f"| {key} | {html.escape(str(value)).replace('|', '&#124;')} |" for key, value in rows.items())
        texts.add_event(_text(tag, "\n".join(["| | |", "| --- | --- |", *(" ".join(line.split()) for line in lines)])))
    texts.add_event(_text("report", run.summary))
    texts.close()
    return f"tensorboard --logdir {run.folder}"


@hookimpl
def ssd_trackers() -> Sequence[Tracker]:
    """This file's tracker."""
    return [Tracker(name="tensorboard", check=partial(require, "tensorboard"), send=send)]
