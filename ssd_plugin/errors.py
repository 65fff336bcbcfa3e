"""The failures a user can meet, one type a kind. The message is one line: what is wrong, then what to do.

Every command turns these into that line on stderr and exit status 3; anything else is a bug and shows its traceback.
"""


class SsdError(Exception):
    """Base of every failure that is the user's or the environment's to mend."""


class ConfigError(SsdError):
    """A recipe, override, policy or settings file holds a value that is not allowed."""


class DataError(SsdError):
    """An input file is missing, empty, malformed or inconsistent (names the file and the line)."""


class ModelError(SsdError):
    """A model reference cannot be resolved or the model lacks something the pipeline needs."""


class HubUnreachableError(ModelError):
    """A hub reference could not be downloaded; the message says how to give a local directory instead."""


class DependencyError(SsdError):
    """An optional package or tool is missing or has an unsupported version (says the install line)."""


class ResourceError(SsdError):
    """Memory or disk ran out; what was finished is kept."""


class RunDirError(SsdError):
    """The run directory is in use, belongs to another recipe, or holds a corrupt file."""


class SandboxError(SsdError):
    """The sandbox could not be started or misjudged a canary: no grade can be trusted."""


class SamplingError(SsdError):
    """The sampling engine failed or was given requests it cannot serve."""


class EngineDied(SamplingError):  # noqa: N818 - what happened, to a process that can be started again
    """A sampling engine died with requests in it: another start may serve them."""


class TrainingError(SsdError):
    """Training cannot start or diverged."""


class GateError(SsdError):
    """A gate run cannot start: unreadable sides, unknown gates."""


class PluginError(SsdError):
    """A named distribution is not installed, cannot be imported, or offers something else than its hook asks for."""


class StatisticsError(SsdError):
    """Numbers that allow no honest statement: empty, not finite, unpaired, or without spread."""


class TrustError(SsdError):
    """A signature, key or digest does not hold."""


class RegistryError(SsdError):
    """The model registry refused or failed."""


class StageCrashError(SsdError):
    """A stage's process died of something that no error type covers: a bug."""
