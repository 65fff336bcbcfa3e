"""Which registry a `--registry` text means."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ssd_plugin.errors import RegistryError
from ssd_plugin.trust.registry.directory import DirectoryRegistry
from ssd_plugin.trust.registry.protocol import Registry

_MLFLOW = ("http", "https", "databricks", "sqlite", "postgresql", "mysql", "mssql")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def open_registry(uri: str, name: str) -> Registry:
    """The model `name` in a registry: a directory's path or file:// URI, or one of MLflow's tracking URIs.

    Raises:
        RegistryError: another kind of URI, or a name that is not letters, digits, ".", "_", "-".
        DependencyError: MLflow is needed and not installed.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"model name {name!r}: use letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    scheme = uri.partition("://")[0].partition("+")[0] if "://" in uri else ""
    if scheme in _MLFLOW or uri == "databricks":
        from ssd_plugin.trust.registry.mlflow import MlflowRegistry

        return MlflowRegistry(uri, name)
    if scheme == "file":
        return DirectoryRegistry(Path(unquote(urlsplit(uri).path)), name)
    if scheme or not uri.strip():
        raise RegistryError(f"registry {uri!r}: give a directory or an MLflow URI (http://, https://, sqlite://)")
    return DirectoryRegistry(Path(uri), name)
