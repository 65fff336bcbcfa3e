"""Finds gates and trackers: the built-in ones, and those of the distributions that a policy or the settings name. All
register the same way."""

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

import ssd_plugin
from ssd_plugin.errors import PluginError
from ssd_plugin.gating.gate import Gate
from ssd_plugin.integrations.tracking.tracker import Tracker

ENTRY_POINTS = "ssd_plugin"
OWN = "ssd-plugin"
Kind = TypeVar("Kind", Gate, Tracker)


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Where gates and trackers come from: distribution, version, and the SHA-256 over the distribution's Python files."""

    distribution: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class LoadedGate:
    """A gate and where it came from."""

    gate: Gate
    plugin: Plugin


def _own_modules(name: str) -> Iterator[ModuleType]:
    package = importlib.import_module(name)
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg:
            yield importlib.import_module(f"{name}.{info.name}")


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _own_plugin() -> Plugin:
    # Resolved: one of the folders may be a link into the checkout.
    root = Path(ssd_plugin.__file__).parent
    files = [*root.rglob("*.py"), *(root / "gates").glob("*.py")]
    return Plugin(distribution=OWN, version=ssd_plugin.__version__, sha256=_digest(list(dict.fromkeys(files))))


def _third_party_plugin(distribution: metadata.Distribution, modules: Sequence[ModuleType]) -> Plugin:
    """Digests the directory of each announced module, which also holds for editable installs."""
    files: list[Path] = []
    for module in modules:
        where = Path(inspect.getfile(module))
        files += where.parent.rglob("*.py") if "." in module.__name__ or where.name == "__init__.py" else [where]
    name, version = distribution.metadata["Name"], distribution.version
    return Plugin(distribution=name, version=version, sha256=_digest(list(dict.fromkeys(files))))


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _announced() -> dict[str, tuple[metadata.Distribution, list[metadata.EntryPoint]]]:
    """Other distributions and their entry points by normalised distribution name."""
    found: dict[str, tuple[metadata.Distribution, list[metadata.EntryPoint]]] = {}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.dist is not None and _normal(entry.dist.metadata["Name"]) != OWN:
            found.setdefault(_normal(entry.dist.metadata["Name"]), (entry.dist, []))[1].append(entry)
    return found


def installed_plugins() -> list[str]:
    """Names of the installed third-party distributions that announce plugins, whether anything names them or not."""
    return sorted(_announced())


def _register(manager: pluggy.PluginManager, module: ModuleType, name: str) -> None:
    known = "known hooks: ssd_gates, ssd_trackers"
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {name}: {' '.join(str(error).split())}; {known}") from error
    if not manager.get_hookcallers(module):
        raise PluginError(f"plugin {name}: implements no hook; {known}")


def _import(entry: metadata.EntryPoint) -> ModuleType:
    try:
        module = entry.load()
    except Exception as error:  # the boundary: importing a third party's module may raise anything
        raise PluginError(f"plugin {entry.name} ({entry.value}) cannot be imported: {error}") from error
    if not isinstance(module, ModuleType):
        raise PluginError(f"plugin {entry.name}: entry point {entry.value!r} must name a module")
    return module


def _offered(
    hook: str, kind: type[Kind], package: str, distributions: Sequence[str], who: str
) -> Iterator[tuple[Kind, Plugin]]:
    """What one hook offers: that of the built-in modules of `package`, then that of the named distributions.

    Raises:
        PluginError: as `load_gates`; `who` named the distributions.
    """
    from ssd_plugin.hooks import specs  # the interface imports the core, so the core imports it late

    announced = _announced()
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    providers: dict[str, Plugin] = {}
    own = _own_plugin()
    for module in _own_modules(package):
        _register(manager, module, module.__name__)
        providers[module.__name__] = own
    for name in distributions:
        if _normal(name) not in announced:
            raise PluginError(f"{who} {name!r}: no installed distribution of that name announces plugins")
        distribution, entries = announced[_normal(name)]
        modules = [_import(entry) for entry in entries]
        plugin = _third_party_plugin(distribution, modules)
        for module in modules:
            _register(manager, module, module.__name__)
            providers[module.__name__] = plugin
    caller: pluggy.HookCaller = getattr(manager.hook, hook)
    for implementation in caller.get_hookimpls():
        offered: Any = implementation.function()
        for one in offered:
            if not isinstance(one, kind):
                raise PluginError(
                    f"plugin {implementation.plugin_name}: {hook} returned {one!r:.60}, not a {kind.__name__}"
                )
            yield one, providers[implementation.plugin_name]


def load_gates(plugins: Sequence[str] = ()) -> dict[str, LoadedGate]:
    """All gates by name: the built-in ones, and those of the named third-party distributions.

    Raises:
        PluginError: a named distribution is not installed or announces nothing, cannot be imported, implements an unknown
            hook, returns something else than gates, or two gates share a name.
    """
    loaded: dict[str, LoadedGate] = {}
    for gate, plugin in _offered("ssd_gates", Gate, "ssd_plugin.gates", plugins, "policy names plugin"):
        if gate.name in loaded:
            raise PluginError(
                f"gate {gate.name!r} comes from {plugin.distribution} and {loaded[gate.name].plugin.distribution}"
            )
        loaded[gate.name] = LoadedGate(gate=gate, plugin=plugin)
    return dict(sorted(loaded.items()))


def load_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """Trackers by name; a name is a built-in tracker's, or a distribution's, which stands for all of its trackers.

    Raises:
        PluginError: as `load_gates`, or a distribution offers no tracker.
    """
    package, who = "ssd_plugin.integrations.trackers", "report.trackers names"
    built_in = [module.__name__.rpartition(".")[2] for module in _own_modules(package)]
    others = [name for name in names if name not in built_in]
    loaded: dict[str, Tracker] = {}
    heard: set[str] = set()
    for tracker, plugin in _offered(
        "ssd_trackers", Tracker, package, others, f"{', '.join(built_in)} are built in; {who}"
    ):
        if plugin.distribution == OWN and tracker.name not in names:
            continue
        if tracker.name in loaded:
            raise PluginError(
                f"tracker {tracker.name!r} comes from {plugin.distribution} and from another that is named"
            )
        loaded[tracker.name] = tracker
        heard.add(_normal(plugin.distribution))
    for name in others:
        if _normal(name) not in heard:
            raise PluginError(f"{who} {name!r}: that distribution offers no tracker")
    return loaded
