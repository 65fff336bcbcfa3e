"""The methods that turn a base model into a candidate, one file each."""

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.methods.base import Method
from ssd_plugin.methods.ssd import SSD

METHODS = {method.name: method for method in (SSD,)}


def method_of(config: RunConfig) -> Method:
    """The method that the settings name.

    Raises:
        ConfigError: its settings cannot work.
    """
    method = METHODS[config.method]
    method.check(config)
    return method
