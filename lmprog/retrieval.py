"""Retrievers: what a program looks passages up with."""

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from lmprog.errors import DataError, InputError

_WORD = re.compile(r"\w+")


class Retriever(Protocol):
    """Anything called with a query that returns passages, best first.

    Programs run many rows at once: it must bear calls from several threads at the same time.
    """

    def __call__(self, query: str, /) -> list[str]:
        """Return the passages for a query, none where nothing fits."""
        ...


class _Index(Protocol):
    def index(self, corpus: tuple[list[list[int]], dict[str, int]], *, show_progress: bool) -> None: ...
    def get_scores(self, query_tokens_single: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float32]]: ...


class BM25:
    """Look up the `k` passages that share the rarest words with the query, by BM25 over an index in memory.

    Words are compared in lower case and whole: no stemming and no stop words, so that names are found as they are
    written. Passages that score the same come in the order given; those that share no word with the query never come.
    Lucene's variant with k1 = 1.5, b = 0.75 (Robertson and Zaragoza 2009; Lù 2024, arXiv:2407.03618).
    """

    def __init__(self, passages: Sequence[str], k: int = 1) -> None:
        if isinstance(passages, str):
            raise DataError(f"BM25 takes a list of passages, but was given one text: {passages[:80]!r}. Write [...].")
        if k < 1:
            raise InputError(f"BM25 was asked for k={k} passages a query. Give at least 1.")
        self.passages, self.k = tuple(passages), k
        tokens = [_words(passage) for passage in self.passages]
        self._ids = {word: number for number, word in enumerate(dict.fromkeys(w for words in tokens for w in words))}
        if not self._ids:
            raise DataError(
                f"there is nothing to search in: the {len(self.passages)} passages given to BM25 hold no word. "
                f"Give at least one passage with text."
            )
        self._index = _new_index()
        self._index.index(([[self._ids[w] for w in words] for words in tokens], dict(self._ids)), show_progress=False)

    def __call__(self, query: str, /) -> list[str]:
        """Return at most `k` passages, best first."""
        known = [self._ids[word] for word in _words(query) if word in self._ids]
        if not known:
            return []
        scores = self._index.get_scores(known)
        hits = np.flatnonzero(scores)
        if len(hits) > self.k:
            least = np.partition(scores[hits], -self.k)[-self.k]  # keeps all that tie for the last place
            hits = hits[scores[hits] >= least]
        best = hits[np.argsort(-scores[hits], kind="stable")][: self.k]
        return [self.passages[number] for number in best.tolist()]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _new_index() -> _Index:
    return cast("_Index", import_module("bm25s").BM25())  # only now: it takes 0.2 s, and has no types
