"""Indexes in folders: each built once, whole or not there, and read through the memory map.

A folder holds one index, in a folder of its own that is named by the format and the fingerprint of its source: a source
that has changed gives another, which takes its place.
"""

import logging
import os
import shutil
import threading
import time
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any, Self, overload

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from lmprog.errors import DataError, InputError
from lmprog.locks import lock
from lmprog.retrieval.corpus import Corpus
from lmprog.retrieval.index import Index, Postings, build, damaged

FORMAT = 2
"""Of an index. Another is not read: it is built anew, or asked for."""
SUFFIX = ".bm25"
META, LOCK, PART = "meta.json", "lock", ".part"
_DIGITS = 32
_LOOKS_S = 0.1
"""How often it is looked whether another process has ended its build."""

_log = logging.getLogger("lmprog.retrieval")


class _Meta(BaseModel):
    """What an index says of itself."""

    format: int
    fingerprint: str
    stamp: str
    """Of the files as they were; "" where that would not show every change."""
    passages: int


class Texts(Sequence[str]):
    """Texts in a file, one behind the other. Each is read when it is asked for."""

    def __init__(self, content: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._content, self._ends = content, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[each] for each in range(*place.indices(len(self))))
        if not -len(self) <= place < len(self):
            raise IndexError(f"there are {len(self)} texts, and none at {place}")
        start = place % len(self)
        return self._content[self._ends[start] : self._ends[start + 1]].tobytes().decode()


def kept(corpus: Corpus, folder: Path | None = None) -> Index:
    """Return the index of a corpus out of a folder, beside the corpus where none is named; it is built if need be."""
    folder = folder or Path(f"{corpus.path.resolve()}{SUFFIX}")
    stamp = corpus.stamp()
    same = [place for place, meta in _found(folder) if meta.stamp == stamp != "" and meta.format == FORMAT]
    if same:
        return _opened(same[0])
    fingerprint = corpus.fingerprint()
    place = folder / f"{FORMAT}-{fingerprint[:_DIGITS]}"
    there = folder.exists()
    try:
        if not place.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                if not place.is_dir():
                    _build(corpus, fingerprint, place)
    except OSError as error:
        raise InputError(
            f"the index cannot be kept in {folder}: {error.strerror or error}. Name a folder that can be written: "
            f"BM25.from_files({str(corpus.path)!r}, folder=...)."
        ) from None
    except DataError:  # of a wrong file nothing is left behind
        if not there:
            (folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
        raise
    _note_stamp(place, stamp)
    return _opened(place)


def load(folder: Path) -> Index:
    """Return the index that a folder holds."""
    found = _found(folder)
    if not found:
        raise DataError(f"{folder} holds no index. Make one: BM25.from_files(path, folder={str(folder)!r}).")
    place, meta = found[-1]
    if meta.format != FORMAT:
        raise DataError(
            f"{folder} holds an index of format {meta.format}, and this version of lmprog reads format {FORMAT}. Make it "
            f"anew: BM25.from_files(path, folder={str(folder)!r})."
        )
    return _opened(place)


def _found(folder: Path) -> list[tuple[Path, _Meta]]:
    """Return the indexes in a folder, with what they say of themselves; more than one only where an old one could not go."""
    found: list[tuple[int, Path, _Meta]] = []
    for path in folder.glob(f"[!.]*/{META}"):
        with suppress(OSError, ValidationError):  # what another process has just taken away
            meta = _Meta.model_validate_json(path.read_bytes())
            found.append(((path.parent / "scores.npy").stat().st_mtime_ns, path.parent, meta))
    return [(place, meta) for _, place, meta in sorted(found, key=lambda one: one[0])]


def _opened(place: Path) -> Index:
    try:
        meta = _Meta.model_validate_json((place / META).read_bytes())
        passages, words = (_texts(place, name) for name in ("passages", "words"))
        starts, places, scores = (
            np.load(place / f"{name}.npy", mmap_mode="r") for name in ("starts", "places", "scores")
        )
        sound = len(passages) == meta.passages and len(starts) == len(words) + 1
        if not (sound and len(places) == len(scores) == starts[-1]):
            raise ValueError("its files do not fit together")
    except (
        OSError,
        EOFError,
        ValueError,
        TokenError,
    ) as error:  # pydantic's errors are ValueErrors; numpy parses Python
        why = str(error).partition("\n")[0]
        raise damaged(place, why) from None
    return Index(passages, Postings(words, starts, places, scores), meta.fingerprint, place)


def _texts(place: Path, name: str) -> Texts:
    content, ends = np.memmap(place / f"{name}.bin", np.uint8, "r"), np.load(place / f"{name}.npy", mmap_mode="r")
    if len(ends) < 1 or ends[-1] != len(content):
        raise ValueError(f"{name}.bin is not whole")
    return Texts(content, ends)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold the folder's lock, once it is free."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        waited = False
        while True:
            try:
                lock(handle)
                break
            except (BlockingIOError, PermissionError):
                if not waited:
                    _log.info("another process builds the index in %s: waiting for it", folder)
                waited = True
                time.sleep(_LOOKS_S)
        yield
    finally:
        os.close(handle)


def _build(corpus: Corpus, fingerprint: str, place: Path) -> None:
    """Build an index, and put it in the place of what the folder held. The folder is ours alone."""
    began, folder = time.monotonic(), place.parent
    _log.info("indexing %s, to be kept in %s", corpus.path, folder)
    part = folder / PART
    shutil.rmtree(part, ignore_errors=True)  # of a build that was killed
    part.mkdir()
    try:
        count = _write(corpus, part)
        if corpus.fingerprint() != fingerprint:
            raise DataError(f"{corpus.path} has changed while it was indexed. Run this again.")
        meta = _Meta(format=FORMAT, fingerprint=fingerprint, stamp="", passages=count)
        (part / META).write_text(meta.model_dump_json())
        _sync(part)
        old = [found for found, _ in _found(folder)]
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for found in old:
        shutil.rmtree(found, ignore_errors=True)  # who reads it goes on reading it; on Windows it stays until later
    _log.info("indexed %s: %d passages in %.0f s", corpus.path, count, time.monotonic() - began)


def _write(corpus: Corpus, part: Path) -> int:
    """Write all of an index but what it says of itself, and return the number of passages."""
    with _Writing(part, "passages") as passages:
        postings = build(passages.through(corpus.passages()), partial(_in_file, part))
    with _Writing(part, "words") as words:
        for _ in words.through(postings.words):
            pass
    for block in part.glob("block-*"):
        block.unlink()
    return passages.count


def _in_file(part: Path, name: str, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Make an array in a file."""
    return open_memmap(part / f"{name}.npy", "w+", kind, shape)


class _Writing:
    """Texts on their way into a file, from which `_texts` reads them."""

    def __init__(self, part: Path, name: str) -> None:
        self._part, self._name = part, name
        self._ends = array("q", [0])

    @property
    def count(self) -> int:
        """How many were written."""
        return len(self._ends) - 1

    def __enter__(self) -> Self:
        self._file = (self._part / f"{self._name}.bin").open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        np.save(self._part / f"{self._name}.npy", np.frombuffer(self._ends, np.int64))

    def through(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the texts, each after it was written."""
        for text in texts:
            data = text.encode()
            self._file.write(data)
            self._ends.append(self._ends[-1] + len(data))
            yield text


def _sync(part: Path) -> None:
    """Have the disk hold all files: else a power cut could leave the folder's name with nothing behind it."""
    for path in part.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _note_stamp(place: Path, stamp: str) -> None:
    """Note how the files look to which an index was found to belong: next time they need not be read."""
    with suppress(OSError, ValidationError):  # where the folder cannot be written they are read each time
        meta = _Meta.model_validate_json((place / META).read_bytes())
        if stamp not in ("", meta.stamp):
            new = place / f".{META}-{os.getpid()}-{threading.get_ident()}"
            new.write_text(meta.model_copy(update={"stamp": stamp}).model_dump_json())
            new.replace(place / META)
