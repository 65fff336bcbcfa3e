"""Finds what plugins offer: the built-in modules of a package, and those of the distributions that a policy or the settings
name. All register the same way. What is offered (gates, trackers) is known to the callers alone."""

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

ENTRY_POINTS = "ssd_plugin"
OWN = "ssd-plugin"
PROJECT = "ssd_plugin"  # pluggy's name for the hooks
SPECS = "ssd_plugin.hooks.specs"  # loaded by name, as plugins are: it stands above all that plugins may use
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Where gates and trackers come from: distribution, version, and the SHA-256 over the distribution's Python files."""

    distribution: str
    version: str
    sha256: str


def own_modules(name: str) -> Iterator[ModuleType]:
    """The modules of a built-in package, imported."""
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


def normal(name: str) -> str:
    """A distribution's name as names are compared."""
    return name.lower().replace("_", "-").replace(".", "-")


def _announced() -> dict[str, tuple[metadata.Distribution, list[metadata.EntryPoint]]]:
    """Other distributions and their entry points by normalised distribution name."""
    found: dict[str, tuple[metadata.Distribution, list[metadata.EntryPoint]]] = {}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.dist is not None and normal(entry.dist.metadata["Name"]) != OWN:
            found.setdefault(normal(entry.dist.metadata["Name"]), (entry.dist, []))[1].append(entry)
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


def offered(
    hook: str, kind: type[Kind], package: str, distributions: Sequence[str], who: str
) -> Iterator[tuple[Kind, Plugin]]:
    """What one hook offers, each with where it comes from: first the built-in modules of `package`, then the named distributions.

    Raises:
        PluginError: a named distribution is not installed or announces nothing, cannot be imported, implements an unknown
            hook, or returns something else than `kind`; `who` named the distributions.
    """
    announced = _announced()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(importlib.import_module(SPECS))
    providers: dict[str, Plugin] = {}
    own = _own_plugin()
    for module in own_modules(package):
        _register(manager, module, module.__name__)
        providers[module.__name__] = own
    for name in distributions:
        if normal(name) not in announced:
            raise PluginError(f"{who} {name!r}: no installed distribution of that name announces plugins")
        distribution, entries = announced[normal(name)]
        modules = [_import(entry) for entry in entries]
        plugin = _third_party_plugin(distribution, modules)
        for module in modules:
            _register(manager, module, module.__name__)
            providers[module.__name__] = plugin
    caller: pluggy.HookCaller = getattr(manager.hook, hook)
    for implementation in caller.get_hookimpls():
        given: Any = implementation.function()
        for one in given:
            if not isinstance(one, kind):
                raise PluginError(
                    f"plugin {implementation.plugin_name}: {hook} returned {one!r:.60}, not a {kind.__name__}"
                )
            yield one, providers[implementation.plugin_name]
