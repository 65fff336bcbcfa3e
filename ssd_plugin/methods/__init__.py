"""The methods that turn a base model into a candidate, one file each."""

from ssd_plugin.config.schema import RunConfig
from ssd_plugin.errors import ConfigError
from ssd_plugin.methods.base import Method
from ssd_plugin.methods.learning import GRPO, SDFT, SDPO, SRPO, LearningMethod
from ssd_plugin.methods.ssd import SSD

METHODS: dict[str, Method] = {method.name: method for method in (SSD, SDFT, SDPO, GRPO, SRPO)}


def method_of(config: RunConfig) -> Method:
    """The method that the settings name.

    Raises:
        ConfigError: its settings cannot work.
    """
    method = METHODS[config.method]
    method.check(config)
    return method


def learning_method(config: RunConfig) -> LearningMethod:
    """The method that the settings name, where that is one that learns from rollouts.

    Raises:
        ConfigError: it does not, or its settings cannot work.
    """
    method = method_of(config)
    if not isinstance(method, LearningMethod):
        raise ConfigError(f"method = {method.name} does not learn from rollouts")
    return method
