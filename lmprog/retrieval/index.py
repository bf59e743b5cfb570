"""An index of words, in bm25s' form, built block by block: of the corpus no more than a block is ever in memory.

bm25s' own construction takes the words of all passages at once: 3.1 GB for a million passages of 80 words, and six
times as long, measured side by side. What it makes is the same.
"""

import re
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmprog.errors import DataError

K1, B = 1.5, 0.75
BLOCK = 4_000_000
"""Words that are sorted at once, in some 100 MB."""
PEAK = 1024
"""Passages of which the best score is looked at first: those that cannot be among the best are then never looked at."""

_WORD = re.compile(r"\w+")
_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese characters, kana and Korean syllables: what words there are no space tells, or it stands behind particles too."""
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")

Allocate = Callable[[str, Any, tuple[int, ...]], NDArray[Any]]
"""Makes an array of a name, type and shape: in memory, or in a file of that name."""


@dataclass(frozen=True, slots=True)
class Postings:
    """The score that each word gives each passage it is in: bm25s' form, columns of a sparse matrix."""

    words: Sequence[str]
    """Sorted; a word's number is its place here."""
    starts: NDArray[np.int64]
    """(words + 1): the postings of word w are those from `starts[w]` to `starts[w + 1]`."""
    passages: NDArray[np.int32]
    scores: NDArray[np.float32]


class _Scorer(Protocol):
    """What is used of bm25s, which has no types."""

    scores: dict[str, Any]
    nonoccurrence_array: None

    def get_scores_from_ids(self, query_tokens_ids: list[int]) -> NDArray[np.float32]: ...


class Index:
    """Passages, and the postings of their words. Nothing changes in a search, so that threads may share it."""

    def __init__(
        self, passages: Sequence[str], postings: Postings, fingerprint: str = "", kept_in: Path | None = None
    ) -> None:
        self.passages, self.fingerprint, self._kept_in = passages, fingerprint, kept_in
        self._words = postings.words
        self._scorer: _Scorer = import_module("bm25s").BM25()  # only now: it takes 0.2 s
        self._scorer.scores = {
            "data": postings.scores,
            "indices": postings.passages,
            "indptr": postings.starts,
            "num_docs": len(passages),
        }
        self._scorer.nonoccurrence_array = None  # a word that is missing gives nothing, in Lucene's variant

    def search(self, query: str, k: int) -> list[str]:
        """Return at most `k` passages, best first. DataError where a kept index turns out to be damaged."""
        try:
            return self._best(query, k)
        except (IndexError, UnicodeDecodeError) as error:
            raise damaged(self._kept_in, str(error)) from None

    def _best(self, query: str, k: int) -> list[str]:
        known = [number for word in words_of(query) if (number := self._number(word)) is not None]
        if not known:
            return []
        places: list[int] = best(self._scorer.get_scores_from_ids(known), k).tolist()
        return [self.passages[place] for place in places]

    def _number(self, word: str) -> int | None:
        number = bisect_left(self._words, word)
        return number if number < len(self._words) and self._words[number] == word else None


def damaged(place: Path | None, why: str) -> DataError:
    """Return the error that an index cannot be used."""
    return DataError(f"the index in {place} is damaged ({why}). Delete that folder: the index is then built anew.")


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared; of scripts without spaces each character, and each with the next."""
    words: list[str] = _WORD.findall(text.lower())
    if text.isascii() or not _HAS_UNSPACED.search(text):
        return words
    return [part for word in words for run in _RUN.findall(word) for part in _parts(run)]


def _parts(run: str) -> list[str]:
    if not _HAS_UNSPACED.match(run):
        return [run]
    return [*run, *map("".join, pairwise(run))]


def best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the `k` highest scores above 0, best first, equal ones in order of place."""
    peaks = np.maximum.reduceat(scores, np.arange(0, len(scores), PEAK))
    least = np.finfo(np.float32).tiny
    if len(peaks) > k:  # each of the k highest peaks is a score itself: a lower score is not among the k highest
        least = max(least, np.partition(peaks, -k)[-k])
    hits = np.concatenate(
        [
            start + np.flatnonzero(scores[start : start + PEAK] >= least)
            for start in (np.flatnonzero(peaks >= least) * PEAK).tolist()
        ]
        or [np.empty(0, np.int64)]
    )
    return hits[np.argsort(-scores[hits], kind="stable")][:k]


def in_memory(_name: str, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Make an array in memory."""
    return np.empty(shape, kind)


def build(passages: Iterable[str], allocate: Allocate = in_memory, *, block: int = BLOCK) -> Postings:
    """Return the postings of all passages, the same whatever the size of a `block`. DataError where they hold no word.

    Every array comes from `allocate`; those called "block-..." are of no use afterwards.
    """
    numbers: dict[str, int] = {}
    lengths: list[NDArray[np.int32]] = []
    counted: deque[NDArray[np.int32]] = deque()
    done = 0
    for ids, sizes in _blocks(passages, numbers, block):
        lengths.append(sizes)
        if len(ids):
            pairs = _counted(ids, sizes, done)
            counted.append(allocate(f"block-{len(counted)}", np.int32, pairs.shape))
            counted[-1][:] = pairs
        done += len(sizes)
    if not numbers:
        raise DataError(
            f"there is nothing to search in: the {done} passages given to BM25 hold no word. "
            f"Give at least one passage with text."
        )
    return _placed(numbers, np.concatenate(lengths), counted, allocate)


def _blocks(
    passages: Iterable[str], numbers: dict[str, int], block: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Yield the words of a block of passages, and how many each passage has. A new word gets the next of `numbers`."""
    ids, sizes = array("i"), array("i")
    for passage in passages:
        words = words_of(passage)
        ids.extend([numbers.setdefault(word, len(numbers)) for word in words])
        sizes.append(len(words))
        if len(ids) >= block:
            yield np.frombuffer(ids, np.int32), np.frombuffer(sizes, np.int32)
            ids, sizes = array("i"), array("i")
    if sizes:
        yield np.frombuffer(ids, np.int32), np.frombuffer(sizes, np.int32)


def _counted(ids: NDArray[np.int32], sizes: NDArray[np.int32], first: int) -> NDArray[np.int32]:
    """Return each word of a block with each passage that it is in, and how often: (3, pairs), by word, then by passage."""
    passages = np.repeat(np.arange(first, first + len(sizes)), sizes)
    keys = np.sort(ids.astype(np.int64) << 32 | passages)
    new = np.flatnonzero(np.diff(keys, prepend=-1))
    pairs = keys[new]
    return np.stack([pairs >> 32, pairs & 0xFFFFFFFF, np.diff(new, append=len(keys))]).astype(np.int32)


def _placed(
    numbers: dict[str, int],
    lengths: NDArray[np.int32],
    blocks: "deque[NDArray[np.int32]]",
    allocate: Allocate,
) -> Postings:
    """Bring the blocks together, words in order, and weigh them. The blocks are used up."""
    words = sorted(numbers)
    order = np.fromiter((numbers[word] for word in words), np.int64, len(words))
    frequencies = np.zeros(len(words), np.int64)
    for block in blocks:
        frequencies += np.bincount(block[0], minlength=len(words))
    starts = allocate("starts", np.int64, (len(words) + 1,))
    starts[0] = 0
    np.cumsum(frequencies[order], out=starts[1:])
    passages, scores = (
        allocate(name, kind, (int(starts[-1]),)) for name, kind in (("places", np.int32), ("scores", np.float32))
    )
    rarity = np.log(1 + (len(lengths) - frequencies + 0.5) / (frequencies + 0.5)).astype(np.float32)
    norms = K1 * (1 - B + B * lengths / lengths.mean())
    filled = np.empty(len(words), np.int64)
    """By word: where its next posting belongs."""
    filled[order] = starts[:-1]
    while blocks:
        of, places, counts = blocks.popleft()
        here = np.bincount(of, minlength=len(words))
        targets = np.arange(len(of)) + (filled - (np.cumsum(here) - here))[of]
        passages[targets] = places
        scores[targets] = rarity[of] * (counts / (norms[places] + counts))
        filled += here
    return Postings(words, starts, passages, scores)
