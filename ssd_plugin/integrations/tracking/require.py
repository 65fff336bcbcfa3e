"""Whether a tracker's package is there, asked without importing it."""

import importlib.util

from ssd_plugin.errors import DependencyError


def require(package: str) -> None:
    """Refuse a package that this interpreter lacks.

    Raises:
        DependencyError: says the install line.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # a folder of that name, such as W&B leaves, is no package
        raise DependencyError(
            f"report.trackers names {package} and that package is not installed: pip install -e '.[{package}]' in the checkout, "
            "or leave it out"
        )
