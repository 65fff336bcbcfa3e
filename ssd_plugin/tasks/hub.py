"""Rows of a data set on the hub, or in a local directory, streamed through `datasets`: nothing is downloaded as a whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssd_plugin.core.jsonl import JsonObject
from ssd_plugin.errors import DataError, DependencyError, HubUnreachableError
from ssd_plugin.tasks.files import require_columns

_HINT = "download it elsewhere and give its .jsonl or .parquet file as the source"


def stream_rows(
    name: str, *, config: str = "", split: str = "", revision: str = "", columns: Sequence[str] = ()
) -> Iterator[tuple[int, JsonObject]]:
    """Yield (row number from 1, row) of the data set `name` (`ORG/NAME`, or a directory that `datasets` can read).

    `config` and `split` may be empty (the default one; `train`); `revision` pins a branch, tag or commit. `columns` are
    required, and of Parquet files nothing else is transferred.

    Raises:
        DataError: no such data set, configuration, split or column (names those there are), or it cannot be read.
        DependencyError: `datasets` is not installed.
        HubUnreachableError: the hub did not answer.
    """
    try:
        from datasets.exceptions import DatasetNotFoundError, DatasetsError
    except ImportError as error:
        raise DependencyError(
            "data sets need the package datasets; pip install -e '.[embedded]' in the checkout"
        ) from error
    try:
        for number, row in enumerate(_open(name, config, split or "train", revision, columns), start=1):
            require_columns(columns, row, f"{name}, row {number}")
            yield number, row
    except DatasetNotFoundError as error:
        raise DataError(f"{_line(error)}; check the name, log in (`hf auth login`), or {_HINT}") from error
    except (DatasetsError, ValueError) as error:
        raise DataError(f"data set {name}: {_line(error)}") from error
    except OSError as error:
        raise HubUnreachableError(f"data set {name} could not be read ({_line(error)}); {_HINT}") from error


def _open(name: str, config: str, split: str, revision: str, columns: Sequence[str]) -> Any:
    """An iterable of rows; where the format can skip columns (Parquet), only `columns` are read."""
    from datasets.load import load_dataset_builder

    pinned: dict[str, Any] = {"name": config or None, "revision": revision or None}
    if config and (files := _declared_files(name, config, revision)):
        pinned["data_files"] = files
    builder = load_dataset_builder(name, **pinned)
    rows: Any = builder.as_streaming_dataset(split=split)
    if not columns or not hasattr(builder.config, "columns"):
        return rows
    require_columns(columns, rows.column_names or (), f"data set {name}")
    return load_dataset_builder(name, **pinned, columns=list(columns)).as_streaming_dataset(split=split)


def _declared_files(name: str, config: str, revision: str) -> Any:
    """The files that the data set's card declares for `config`; None where it declares none, or cannot be read.

    Without them `datasets` takes the format of all configurations from the first one, and reads the Parquet files of one as
    JSON because another's are (as in microsoft/rStar-Coder at the recipes' revision).
    """
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard, hf_hub_download

    try:
        local = Path(name) / "README.md"
        card = (
            local
            if local.is_file()
            else hf_hub_download(name, local.name, repo_type="dataset", revision=revision or None)
        )
        declared = MetadataConfigs.from_dataset_card_data(DatasetCard.load(card, ignore_metadata_errors=True).data)
    except (OSError, ValueError):  # the loader, which asks next, says what is wrong
        return None
    return declared.get(config, {}).get("data_files")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
