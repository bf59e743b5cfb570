"""Search for the tasks that read an encyclopedia: which one, as their options say, and what a passage is."""

from collections.abc import Iterable

from lmprog.errors import InputError
from lmprog.retrieval import BM25, Retriever
from lmprog.retrieval.corpus import BETWEEN
from lmprog.retrieval.http import HTTPRetriever
from lmprog.source import Source


def titles_of(passages: Iterable[str]) -> list[str]:
    """Return the title of each passage."""
    return [passage.partition(BETWEEN)[0] for passage in passages]


def search(task: str, source: Source, k: int, *, retriever: str, corpus: str) -> Retriever:
    """Return the search for `k` passages a query: the server at the URL `retriever`, BM25 over the file or folder `corpus`, or
    BM25 over the passages that come with the rows of the source.

    InputError where both are named, or where there is nothing to search in.
    """
    if retriever and corpus:
        raise InputError(f"{task} was given a retriever and a corpus, and searches in one of them. Name one.")
    if retriever:
        return HTTPRetriever(retriever, k)
    if corpus:
        return BM25.from_files(corpus, k=k)
    passages = source.read().passages if source.passages is not None else ()
    if not passages:
        raise InputError(
            f"{task} has nothing to search in: its rows bring no passages. Name a server, {task}:retriever=URL, or a file or "
            f'folder of passages, {task}:corpus=FILE with lines {{"title": ..., "text": ...}}. In Python, and for a '
            f"compiled program, give the program a retriever of your own."
        )
    return BM25(passages, k)
