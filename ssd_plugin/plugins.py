"""Finds gates: the built-in ones, and those of the distributions that a policy names. Both register the same way."""

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import cast

import pluggy

import ssd_plugin
from ssd_plugin.errors import GateError
from ssd_plugin.gating.gate import Gate

ENTRY_POINTS = "ssd_plugin"
OWN = "ssd-plugin"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A module that provides gates: its distribution, version, and the SHA-256 over the distribution's Python files."""

    distribution: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class LoadedGate:
    """A gate and where it came from."""

    gate: Gate
    plugin: Plugin


def _own_modules() -> Iterator[ModuleType]:
    package = importlib.import_module("ssd_plugin.gates")
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg:
            yield importlib.import_module(f"ssd_plugin.gates.{info.name}")


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


def _announced() -> dict[str, list[metadata.EntryPoint]]:
    """Entry points of other distributions by normalised distribution name."""
    found: dict[str, list[metadata.EntryPoint]] = {}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.dist is not None and _normal(entry.dist.metadata["Name"]) != OWN:
            found.setdefault(_normal(entry.dist.metadata["Name"]), []).append(entry)
    return found


def installed_plugins() -> list[str]:
    """Names of the installed third-party distributions that announce gates, whether a policy names them or not."""
    return sorted(_announced())


def _register(manager: pluggy.PluginManager, module: ModuleType, name: str) -> None:
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise GateError(f"plugin {name}: {' '.join(str(error).split())}; known hooks: ssd_gates") from error
    if not manager.get_hookcallers(module):
        raise GateError(f"plugin {name}: implements no hook; known hooks: ssd_gates")


def _import(entry: metadata.EntryPoint) -> ModuleType:
    try:
        module = entry.load()
    except Exception as error:  # the boundary: importing a third party's module may raise anything
        raise GateError(f"plugin {entry.name} ({entry.value}) cannot be imported: {error}") from error
    if not isinstance(module, ModuleType):
        raise GateError(f"plugin {entry.name}: entry point {entry.value!r} must name a module")
    return module


def load_gates(plugins: Sequence[str] = ()) -> dict[str, LoadedGate]:
    """All gates by name: the built-in ones, and those of the named third-party distributions.

    Raises:
        GateError: a named distribution is not installed or announces nothing, cannot be imported, implements an unknown hook,
            returns something else than gates, or two gates share a name.
    """
    from ssd_plugin.hooks import specs  # the interface imports the core, so the core imports it late

    announced = _announced()
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    providers: dict[str, Plugin] = {}
    own = _own_plugin()
    for module in _own_modules():
        _register(manager, module, module.__name__)
        providers[module.__name__] = own
    for name in plugins:
        entries = announced.get(_normal(name))
        if not entries or entries[0].dist is None:
            raise GateError(f"policy names plugin {name!r}: no installed distribution of that name announces gates")
        modules = [_import(entry) for entry in entries]
        plugin = _third_party_plugin(entries[0].dist, modules)
        for module in modules:
            _register(manager, module, module.__name__)
            providers[module.__name__] = plugin
    return _collect(manager, providers)


def _collect(manager: pluggy.PluginManager, providers: dict[str, Plugin]) -> dict[str, LoadedGate]:
    loaded: dict[str, LoadedGate] = {}
    for implementation in manager.hook.ssd_gates.get_hookimpls():
        plugin = providers[implementation.plugin_name]
        for gate in cast("Sequence[Gate]", implementation.function()):
            if not isinstance(gate, Gate):
                raise GateError(f"plugin {implementation.plugin_name}: ssd_gates returned {gate!r:.60}, not a Gate")
            if gate.name in loaded:
                raise GateError(
                    f"gate {gate.name!r} comes from {plugin.distribution} and {loaded[gate.name].plugin.distribution}"
                )
            loaded[gate.name] = LoadedGate(gate=gate, plugin=plugin)
    return dict(sorted(loaded.items()))
