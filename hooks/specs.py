"""Where outsiders plug in. A plugin is a module with functions of these names, marked `hookimpl`.

An installed distribution announces its module by an entry point in the group "ssd_plugin":

    [project.entry-points.ssd_plugin]
    my_gates = "my_package.gates"

A gate can vote GO, so a third party's is loaded only when the policy's `plugins` names its distribution; its trackers only
when the setting `report.trackers` does.
"""

from collections.abc import Sequence

from ssd_plugin.core.plugins import hookimpl, hookspec
from ssd_plugin.gating.gate import Gate
from ssd_plugin.integrations.tracking.tracker import Tracker

__all__ = ["hookimpl", "ssd_gates", "ssd_trackers"]


@hookspec
def ssd_gates() -> Sequence[Gate]:
    """The gates that this plugin provides. Called once a gate run; must be quick and import nothing heavy."""
    raise NotImplementedError


@hookspec
def ssd_trackers() -> Sequence[Tracker]:
    """The experiment trackers that this plugin provides. Called before a run that names them; must be quick and import
    nothing heavy."""
    raise NotImplementedError
