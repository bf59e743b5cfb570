"""Search by words: BM25 over passages in memory, or over an index that is built once and kept in a folder."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Self, cast

from lmprog.errors import DataError, InputError
from lmprog.module import is_whole
from lmprog.retrieval.corpus import PASSAGE_WORDS, Corpus
from lmprog.retrieval.index import Index, build
from lmprog.retrieval.saved import kept, load


class BM25:
    """Look up the `k` passages that share the rarest words with the query, by BM25.

    `BM25(passages)` is for lists that fit in memory; `BM25.from_files(path)` indexes a file or a folder of any size once,
    and reads from disk what a query needs.

    Words are compared in lower case and whole: no stemming and no stop words, so that names are found as they are
    written. Chinese, Japanese and Korean have every character and every two neighbours as words (Nie et al. 2000, "On the
    use of words and n-grams for Chinese information retrieval"); other scripts without spaces, such as Thai, are not
    divided. Passages that score the same come in the order given; those that share no word with the query never come.
    Lucene's variant with k1 = 1.5, b = 0.75 (Robertson and Zaragoza 2009; Lù 2024, arXiv:2407.03618).

    Many threads may search at once.
    """

    def __init__(self, passages: Sequence[str], k: int = 1) -> None:
        if isinstance(passages, str):
            raise DataError(f"BM25 takes a list of passages, but was given one text: {passages[:80]!r}. Write [...].")
        _check_k(k)
        texts = tuple(passages)
        if wrong := [text for text in texts if not isinstance(cast("object", text), str)]:
            raise DataError(
                f'BM25 takes a list of texts, and one of these is {wrong[0]!r:.80}. Write the texts alone, [row["text"] for row in rows].'
            )
        self._index, self.k = Index(texts, build(texts)), k

    @classmethod
    def from_files(
        cls,
        path: Path | str,
        *,
        folder: Path | str | None = None,
        k: int = 1,
        text: str = "text",
        title: str = "title",
        words: int = PASSAGE_WORDS,
    ) -> Self:
        """Search the passages of a file of JSON Lines, or the texts in a folder.

        Of JSON Lines (packed where the name ends in .gz) each row is a passage, with its fields `text` and, if there is
        one, `title` named here. Of a folder all .txt and .md files are read, those below it too, hidden ones apart, in
        UTF-8: paragraphs are put together to passages of at most so many `words`, and one that is longer is parted at the
        ends of sentences (100 words, as of Wikipedia in Karpukhin et al. 2020, arXiv:2004.04906). A heading of Markdown
        begins a new passage and is its title, else the file's name is. A single .txt or .md file is read so too.

        A passage with a title is searched and returned as "title | text", the form of DSPy's Wikipedia.

        The index is kept in `folder`, by default beside the source as PATH.bm25, and is found there the next time, however
        large, within milliseconds. It is built anew when the files or these settings have changed: a folder holds one. A
        million passages of 80 words take 1.6 GB of memory to index, most of it pages of files that the system may take back,
        and a minute or two. A process that finds another building waits for it; a build that was killed leaves nothing that
        counts. The folder holds the passages too: `BM25.load(folder)` does without the source.

        DataError where the source holds no passage or is not as described, or the index is damaged; InputError where
        `folder` cannot be written.
        """
        _check_k(k)
        return cls._of(kept(Corpus(Path(path), text, title, words), None if folder is None else Path(folder)), k)

    @classmethod
    def load(cls, folder: Path | str, *, k: int = 1) -> Self:
        """Search an index that `from_files` has kept, without its source. DataError where there is none."""
        _check_k(k)
        return cls._of(load(Path(folder)), k)

    @classmethod
    def _of(cls, index: Index, k: int) -> Self:
        made = cls.__new__(cls)
        made._index, made.k = index, k
        return made

    @property
    def passages(self) -> Sequence[str]:
        """All that can be found, in order; of an index in a folder each is read when it is asked for."""
        return self._index.passages

    @cached_property
    def identity(self) -> str:
        """What is searched, and how many passages a query gets: a run on others is another run."""
        digest = self._index.fingerprint or _digest(self.passages)
        return f"BM25 of {len(self.passages):,} passages, k={self.k} {digest[:16]}"

    def _users_parts(self) -> dict[str, object]:
        return {"identity": self.identity}

    def __call__(self, query: str, /, *, k: int | None = None) -> list[str]:
        """Return at most `k` passages, best first; as many as the retriever was made for where that is None."""
        if not isinstance(cast("object", query), str):
            raise InputError(f"BM25 was asked for {query!r:.80}. Give the query as a text.")
        return self._index.search(query, self.k if k is None else _check_k(k))

    def batch(self, queries: Iterable[str], *, k: int | None = None) -> list[list[str]]:
        """Return the passages for each query, as so many calls would, on all cores at once; equal queries are searched for once."""
        if isinstance(queries, str):
            raise InputError(f"a batch of queries was asked for with the one text {queries[:80]!r}. Write [...].")
        asked = list(queries)
        distinct = list(dict.fromkeys(asked))
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # most of a search in a large corpus leaves Python
            found = dict(zip(distinct, threads.map(partial(self.__call__, k=k), distinct), strict=True))
        return [list(found[query]) for query in asked]


def _check_k(k: int) -> int:
    if not is_whole(k, 1):
        raise InputError(f"BM25 was asked for k={k!r} passages a query. Give at least 1.")
    return k


def _digest(passages: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for passage in passages:
        data = passage.encode(errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
