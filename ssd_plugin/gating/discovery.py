"""Finds gates: the built-in ones, and those of the distributions that a policy names."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_plugin.core.plugins import Plugin, offered
from ssd_plugin.errors import PluginError
from ssd_plugin.gating.gate import Gate


@dataclass(frozen=True, kw_only=True)
class LoadedGate:
    """A gate and where it came from."""

    gate: Gate
    plugin: Plugin


def load_gates(plugins: Sequence[str] = ()) -> dict[str, LoadedGate]:
    """All gates by name: the built-in ones, and those of the named third-party distributions.

    Raises:
        PluginError: a named distribution is not installed or announces nothing, cannot be imported, implements an unknown
            hook, returns something else than gates, or two gates share a name.
    """
    loaded: dict[str, LoadedGate] = {}
    for gate, plugin in offered("ssd_gates", Gate, "ssd_plugin.gates", plugins, "policy names plugin"):
        if gate.name in loaded:
            raise PluginError(
                f"gate {gate.name!r} comes from {plugin.distribution} and {loaded[gate.name].plugin.distribution}"
            )
        loaded[gate.name] = LoadedGate(gate=gate, plugin=plugin)
    return dict(sorted(loaded.items()))
