"""Retrievers: what a program looks passages up with. Any function from a query to passages is one."""

from typing import Protocol

from lmprog.retrieval.bm25 import BM25 as BM25


class Retriever(Protocol):
    """Anything called with a query that returns passages, best first.

    Programs run many rows at once: it must bear calls from several threads at the same time.
    """

    def __call__(self, query: str, /) -> list[str]:
        """Return the passages for a query, none where nothing fits."""
        ...
