"""Recipes: one short file a model. A recipe is a function that returns one config; every number is on its page."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.errors import ConfigError

Recipe = Callable[[], RunConfig]

PREFIXES = tuple(f"{name}_" for name in ("ssd", "sdft", "sdpo", "grpo", "srpo"))
"""A recipe is named after its method; the folder's other modules are no recipes."""


def names() -> list[str]:
    """The names of all shipped recipes, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith(PREFIXES))


def load(name: str) -> Recipe:
    """The recipe function of that name; its docstring's first line says what it is.

    Raises:
        ConfigError: there is no such recipe (nearest names offered).
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names())}"
        raise ConfigError(f"no recipe {name!r}; {hint}")
    recipe: Recipe = importlib.import_module(f"{__name__}.{name}").recipe
    return recipe
