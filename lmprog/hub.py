"""Published data sets, on the Hugging Face hub or as tables in a GitHub repository, read with the library `datasets`."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from lmprog.errors import DataError

INSTALL = "pip install 'lmprog[datasets]'"
MAIN = "main"
"""The newest revision of a data set."""
PARQUET = "refs/convert/parquet"
"""Where the hub keeps its own copy, in plain tables, of data sets that were published as a script: those no library runs any more."""
NEWEST = "HEAD"
"""The newest commit of a repository, whatever its branch is called."""
GITHUB = "https://raw.githubusercontent.com"
_SHORT = 20
"""Characters of a revision that are shown: a commit is clear from fewer."""
_SHOWN = 300
"""Characters of what the library says that an error shows."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set on the hub: `id` as on its page, or a folder of files in the hub's layout.

    `config` names one of its configurations (a "subset" on the page), "" where it has but one. `revision` is a branch,
    a tag or a commit: under a commit the rows stay the same for ever.
    """

    id: str
    config: str = ""
    revision: str = MAIN

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a split, out of the library's cache once they were downloaded.

        DataError where the library is not installed, where the hub cannot be reached, or where it has no such data set,
        configuration, revision or split.
        """
        library = _library()
        with _explained(f"{self}, split {split!r}"):
            if (Path(self.id) / "dataset_dict.json").is_file():  # as `DatasetDict.save_to_disk` leaves it
                return cast("Sequence[Mapping[str, Any]]", library.load_from_disk(self.id)[split])
            found = library.load_dataset(self.id, self.config or None, split=split, revision=self.revision)
            return cast("Sequence[Mapping[str, Any]]", found)

    def facts(self) -> dict[str, str]:
        """Return what names the data set."""
        return {"dataset": self.id, "config": self.config, **_revision(self.id, self.revision)}

    def __str__(self) -> str:
        return " ".join(filter(None, (self.id, self.config, _at(self.id, self.revision))))


@dataclass(frozen=True, slots=True)
class Repository:
    """A data set in CSV files of a GitHub repository: `id` as in its address, or a folder that holds the same files.

    `revision` is a branch, a tag or a commit; `files` says where the rows of each split are.
    """

    id: str
    revision: str
    files: tuple[tuple[str, tuple[str, ...]], ...]

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a split, of all its files in turn; every empty cell is an empty text. Errors as `Hub`'s."""
        library, rows = _library(), list[Mapping[str, Any]]()
        for path in dict(self.files)[split]:
            place = (
                str(Path(self.id) / path) if Path(self.id).is_dir() else f"{GITHUB}/{self.id}/{self.revision}/{path}"
            )
            with _explained(f"{self}, {path}"):
                found = library.load_dataset("csv", data_files=place, split="train", keep_default_na=False)
                rows.extend(cast("Sequence[Mapping[str, Any]]", found))
        return rows

    def facts(self) -> dict[str, str]:
        """Return what names the data set."""
        return {"dataset": self.id, **_revision(self.id, self.revision)}

    def __str__(self) -> str:
        return " ".join(filter(None, (self.id, _at(self.id, self.revision))))


class _Datasets(Protocol):
    """What is used of the library, which says no types."""

    def load_dataset(self, path: str, name: str | None = None, **how: object) -> object: ...
    def load_from_disk(self, dataset_path: str) -> Mapping[str, object]: ...


def _revision(place: str, revision: str) -> dict[str, str]:
    """Return the revision as a fact; a folder has none."""
    return {} if Path(place).is_dir() else {"revision": revision}


def _at(place: str, revision: str) -> str:
    return "" if Path(place).is_dir() else f"at {revision[:_SHORT]}"


def _library() -> _Datasets:
    try:
        return cast("_Datasets", import_module("datasets"))
    except ImportError as error:
        raise DataError(f"published data sets are read with the library `datasets` ({error}): {INSTALL}.") from None


@contextmanager
def _explained(what: str) -> Generator[None]:
    """Run the block; what the library raises becomes a DataError that says what could not be read and why."""
    try:
        yield
    except ConnectionError as error:
        raise DataError(
            f"{what}: it cannot be reached, and is not in the cache of `datasets` ({_said(error)}). Run this "
            f"once with a network."
        ) from None
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        more = f" Try revision={PARQUET}." if "script" in str(error) else ""
        if isinstance(error, FileNotFoundError) and "://" in str(error):  # so, too, where it cannot be reached
            more = " If there is no network, run this once with one."
        raise DataError(f"{what}, cannot be read: {_said(error)}.{more}") from None


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
