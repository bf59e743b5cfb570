"""What is searched: the passages in a file of JSON Lines, or in a folder of text."""

import hashlib
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmprog.data import numbered_jsonl
from lmprog.errors import DataError, InputError
from lmprog.module import is_whole
from lmprog.request import canonical_json
from lmprog.retrieval.division import divided, sections

BETWEEN = " | "
"""Stands between title and text, as in ColBERT's index of Wikipedia that DSPy searches."""
PASSAGE_WORDS = 100
"""As of the Wikipedia of Karpukhin et al. (2020, arXiv:2004.04906)."""
_MARKDOWN = ".md"
_TEXTS = {".txt", _MARKDOWN}
_SETTLED_NS = 2_000_000_000
"""A file that was changed more recently may change again without its time showing it: file systems round."""


def titled(title: str, text: str) -> str:
    """Return a passage as it is searched and shown: "title | text", or the text alone where there is no title."""
    return f"{title}{BETWEEN}{text}" if title else text


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files, and how passages are read from them; see `BM25.from_files`."""

    path: Path
    text: str = "text"
    title: str = "title"
    words: int = PASSAGE_WORDS

    def __post_init__(self) -> None:
        if not is_whole(self.words, 1):
            raise InputError(f"a passage cannot have words={self.words!r} words at most. Give at least 1.")

    def passages(self) -> Iterator[str]:
        """Yield every passage in order. A line, or a file of text, is in memory at a time. DataError where there is none."""
        found = False
        for file in self._files():
            for passage in _of_text(file, self.words) if _is_text(file) else self._of_rows(file):
                found = True
                yield passage
        if not found:
            raise DataError(f"{self.path} is empty. Give a file or a folder that holds text.")

    def stamp(self) -> str:
        """Return what changes when a file does, without reading any; "" where a change might go unseen."""
        facts: list[object] = [self._settings]
        newest = 0
        with _reading(self.path):
            for file in self._files():
                found = file.stat()
                times = found.st_mtime_ns, found.st_ctime_ns
                facts.append([self._name(file), found.st_size, *times, found.st_ino])
                newest = max(newest, *times)
        return "" if newest > time.time_ns() - _SETTLED_NS else _digest(facts)

    def fingerprint(self) -> str:
        """Return a SHA-256 of all that decides the passages; every file is read for it."""
        facts: list[object] = [self._settings]
        with _reading(self.path):
            for file in self._files():
                with file.open("rb") as opened:
                    facts.append([self._name(file), hashlib.file_digest(opened, "sha256").hexdigest()])
        return _digest(facts)

    @property
    def _settings(self) -> list[object]:
        return [self.words] if self.path.is_dir() or _is_text(self.path) else [self.text, self.title]

    def _name(self, file: Path) -> str:
        """Return a file's name in the folder: of text it is the title."""
        return file.relative_to(self.path).as_posix() if file != self.path else file.name if _is_text(file) else ""

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        found: list[Path] = []
        for folder, folders, names in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]  # so that `walk` leaves them out
            found += [Path(folder, name) for name in names if not name.startswith(".") and _is_text(Path(name))]
        if not found:
            raise DataError(
                f"{self.path} holds no text: there is no .txt or .md file in it. Name another folder, or a file of JSON Lines."
            )
        return sorted(found, key=lambda file: file.relative_to(self.path).as_posix())

    def _of_rows(self, file: Path) -> Iterator[str]:
        for number, row in numbered_jsonl(file):
            text, title = row.get(self.text), row.get(self.title)
            if not isinstance(text, str) or not isinstance(title, str | None):
                raise DataError(f"{file}, line {number}: {self._fault(row)}")
            yield titled(title or "", text)

    def _fault(self, row: dict[str, Any]) -> str:
        if self.text not in row:
            has = ", ".join(f"`{name}`" for name in row) or "no field"
            return f"there is no `{self.text}`. It has {has}: name the one that holds the passage, as text=..."
        name = self.title if isinstance(row[self.text], str) else self.text
        return f"`{name}` is {row[name]!r:.80}, and should be a text."


def _of_text(file: Path, words: int) -> Iterator[str]:
    with _reading(file):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file} is not text in UTF-8 ({error.reason}). Convert it, or move it elsewhere."
            ) from None
    for title, part in sections(text) if file.suffix.lower() == _MARKDOWN else [("", text)]:
        for passage in divided(part, words):
            yield titled(title or file.stem, passage)


def _is_text(file: Path) -> bool:
    return file.suffix.lower() in _TEXTS


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        named = error.filename or path
        raise DataError(
            f"{named} cannot be read: {error.strerror}. Give a file of JSON Lines, or a folder of text."
        ) from None


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(canonical_json(facts).encode(errors="surrogateescape")).hexdigest()
