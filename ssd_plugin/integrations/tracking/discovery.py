"""Finds experiment trackers: the built-in ones, and those of the distributions that the settings name."""

from collections.abc import Sequence

from ssd_plugin.core.plugins import OWN, normal, offered, own_modules
from ssd_plugin.errors import PluginError
from ssd_plugin.integrations.tracking.tracker import Tracker


def load_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """Trackers by name; a name is a built-in tracker's, or a distribution's, which stands for all of its trackers.

    Raises:
        PluginError: as `offered`, two trackers share a name, or a distribution offers no tracker.
    """
    package, who = "ssd_plugin.integrations.trackers", "report.trackers names"
    built_in = [module.__name__.rpartition(".")[2] for module in own_modules(package)]
    others = [name for name in names if name not in built_in]
    loaded: dict[str, Tracker] = {}
    heard: set[str] = set()
    for tracker, plugin in offered(
        "ssd_trackers", Tracker, package, others, f"{', '.join(built_in)} are built in; {who}"
    ):
        if plugin.distribution == OWN and tracker.name not in names:
            continue
        if tracker.name in loaded:
            raise PluginError(
                f"tracker {tracker.name!r} comes from {plugin.distribution} and from another that is named"
            )
        loaded[tracker.name] = tracker
        heard.add(normal(plugin.distribution))
    for name in others:
        if normal(name) not in heard:
            raise PluginError(f"{who} {name!r}: that distribution offers no tracker")
    return loaded
