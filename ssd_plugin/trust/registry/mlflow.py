"""MLflow's model registry: a promoted model is a model version, its files and evidence are artifacts of a run of its own,
and the alias "champion" is MLflow's alias. Credentials and TLS are MLflow's (its MLFLOW_* environment variables).

MLflow cannot move an alias only if it still is where it was. We look right before the move; two promoters within that
instant are not kept apart, as they are in a directory registry.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ssd_plugin.core.digests import copy_model
from ssd_plugin.core.jsonl import naming_a_full_disk
from ssd_plugin.errors import DependencyError, RegistryError
from ssd_plugin.trust.registry.protocol import ALIAS, Release

EXPERIMENT = "ssd promotions"
_SINCE = "ssd.champion_since"  # set once the alias pointed at a version
_ROLLED_BACK = "ssd.rolled_back_to"


class MlflowRegistry:
    """One registered model of an MLflow server."""

    def __init__(self, uri: str, name: str) -> None:
        """`uri`: MLflow's tracking URI.

        Raises:
            DependencyError: MLflow is not installed.
        """
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # MLflow's own default waits for minutes
        try:
            from mlflow import MlflowClient  # type: ignore[import-not-found,unused-ignore]
            from mlflow.exceptions import MlflowException  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise DependencyError(
                f"the MLflow client is not installed ({error}); install it: pip install -e '.[mlflow]' in the checkout"
            ) from error
        self._error: type[Exception] = MlflowException
        self._client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._uri, self._name = uri, name
        self._seen = ""

    @property
    def where(self) -> str:
        """The server and the model's name."""
        return f"{self._uri} {self._name}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Note where the alias is, for `point` to compare, and clear what a killed promotion left. MLflow has no lock."""
        with self._failures():
            if not self._client.search_registered_models(f"name = '{self._name}'"):
                self._client.create_registered_model(self._name)
            champion = self.champion()
            self._seen = champion.version if champion else ""
            for found in self._ours():
                if _SINCE in found.tags:
                    continue
                if str(found.version) == self._seen:
                    self._mark(self._seen)
                else:
                    self._delete(found)
        yield

    def champion(self) -> Release | None:
        """See `Registry.champion`."""
        with self._failures():
            models = self._client.search_registered_models(f"name = '{self._name}'")
            version = models[0].aliases.get(ALIAS) if models else None
            return _release(self._client.get_model_version(self._name, version), self.where) if version else None

    def releases(self) -> list[Release]:
        """See `Registry.releases`."""
        with self._failures():
            return [_release(found, self.where) for found in self._ours() if _SINCE in found.tags]

    def add(self, model: Path, evidence: Mapping[str, Path], release: Release) -> Release:
        """See `Registry.add`."""
        # A copy, since the client looks files up by their names once more: what is uploaded is what was opened.
        with tempfile.TemporaryDirectory(prefix="ssd-") as folder, naming_a_full_disk(Path(folder)), self._failures():
            copy_model(model, copy := Path(folder, "model"))
            experiment = self._client.get_experiment_by_name(EXPERIMENT)
            where = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
            run = self._client.create_run(where, run_name=self._name).info.run_id
            self._client.log_artifacts(run, str(copy), "model")
            for name, source in evidence.items():
                folder = Path("evidence", name).parent.as_posix()
                self._client.log_artifact(run, str(source), folder)
            self._client.set_terminated(run)
            tags = {"ssd.model": release.model, "ssd.verdict": release.verdict, "ssd.replaces": release.replaces}
            created = self._client.create_model_version(self._name, f"runs:/{run}/model", run, tags=tags)
        return replace(release, version=str(created.version))

    @contextmanager
    def contents(self, release: Release) -> Iterator[tuple[Path, Path]]:
        """See `Registry.contents`: downloaded, since only what the server gives back says what it holds."""
        with tempfile.TemporaryDirectory(prefix="ssd-") as folder:
            with self._failures():
                run = self._client.get_model_version(self._name, release.version).run_id
                for part in ("model", "evidence"):
                    self._client.download_artifacts(run, part, folder)
            yield Path(folder, "model"), Path(folder, "evidence")

    def discard(self, release: Release) -> None:
        """See `Registry.discard`."""
        with self._failures():
            self._delete(self._client.get_model_version(self._name, release.version))

    def point(self, release: Release, action: str) -> None:
        """See `Registry.point`."""
        champion = self.champion()
        if (champion.version if champion else "") != self._seen:
            raise RegistryError(
                f"{self.where}: the champion was moved by somebody else meanwhile; run ssd gate against it"
            )
        with self._failures():
            self._client.set_registered_model_alias(self._name, ALIAS, release.version)
            self._mark(release.version)
            if action == "rollback":
                self._client.set_model_version_tag(self._name, self._seen, _ROLLED_BACK, release.version)

    def _mark(self, version: str) -> None:
        self._client.set_model_version_tag(self._name, version, _SINCE, datetime.now(UTC).isoformat(timespec="seconds"))

    def _ours(self) -> list[Any]:
        found = self._client.search_model_versions(f"name = '{self._name}'")
        return sorted((v for v in found if "ssd.verdict" in v.tags), key=lambda v: int(v.version))

    def _delete(self, found: Any) -> None:
        self._client.delete_model_version(self._name, found.version)
        self._client.delete_run(found.run_id)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise RegistryError(f"{self.where}: {str(error)[:300]}") from error


def _release(found: Any, where: str) -> Release:
    tags = found.tags
    if not {"ssd.model", "ssd.verdict", "ssd.replaces"} <= tags.keys():
        raise RegistryError(
            f"{where}: the champion, version {found.version}, was not put there by ssd promote; remove the alias first"
        )
    return Release(
        version=str(found.version), model=tags["ssd.model"], verdict=tags["ssd.verdict"], replaces=tags["ssd.replaces"]
    )
