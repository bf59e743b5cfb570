"""Finding all pages of Wikipedia that a claim rests on, in three hops (HoVer: Jiang et al. 2020, arXiv:2011.03088).

It shows four modules of which no one has labels, and of which each feeds the next: a score says only whether all pages were found.

The claims come without passages, so name a search: the published scores have ColBERT's over all introductions of Wikipedia.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmprog.data import Row, fields_in
from lmprog.hub import PARQUET, Hub
from lmprog.metrics import Score, normalized
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.papers import mipro
from lmprog.programs.search import search, titles_of
from lmprog.retrieval import Retriever
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Dropped, Part, Source, field
from lmprog.task import Task

PAGES = 3
"""Pages that a claim rests on: the papers keep claims of three hops."""


class Summarize(Signature):
    """Sum up what the passages say about the claim."""

    claim: str = InputField()
    passages: list[str] = InputField()
    summary: str = OutputField()


class SummarizeMore(Signature):
    """Sum up what the passages say about the claim, beside what is known already."""

    claim: str = InputField()
    known: str = InputField(desc="the summary of passages found before")
    passages: list[str] = InputField()
    summary: str = OutputField()


class SecondQuery(Signature):
    """Write a search query for a page that the claim rests on and that was not found yet."""

    claim: str = InputField()
    summary: str = InputField(desc="of the passages found so far")
    query: str = OutputField()


class ThirdQuery(Signature):
    """Write a search query for a page that the claim rests on and that was not found yet."""

    claim: str = InputField()
    first_summary: str = InputField()
    second_summary: str = InputField()
    query: str = OutputField()


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a claim."""

    passages: tuple[str, ...]
    """Three times `k`, in the order found; the same page may come more than once."""

    @property
    def titles(self) -> list[str]:
        """The pages."""
        return titles_of(self.passages)


class Hover(Module):
    """Search for the claim, sum up, search again, sum up, search again. Four modules and four LM calls a claim."""

    def __init__(self, retriever: Retriever) -> None:
        self.retriever = retriever
        self.summarize = ChainOfThought(Summarize)
        self.second_query = ChainOfThought(SecondQuery)
        self.summarize_more = ChainOfThought(SummarizeMore)
        self.third_query = ChainOfThought(ThirdQuery)

    def forward(self, claim: str) -> Found:
        """Return the passages of all three searches."""
        first = self.retriever(claim)
        known = self.summarize(claim=claim, passages=first).summary
        second = self.retriever(self.second_query(claim=claim, summary=known).query)
        more = self.summarize_more(claim=claim, known=known, passages=second).summary
        query = self.third_query(claim=claim, first_summary=known, second_summary=more).query
        return Found((*first, *second, *self.retriever(query)))


def all_found(row: Row, prediction: Found) -> Score:
    """Return 1 where every page that the claim rests on was found, else 0; the part `recall` is the share found."""
    found = {normalized(title) for title in prediction.titles}
    titles: list[str] = fields_in(row)["titles"]
    missing = [title for title in titles if normalized(title) not in found]
    feedback = f"Not found: {', '.join(missing)}." if missing else ""
    return Score(float(not missing), feedback, {"recall": 1 - len(missing) / len(titles)})


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any] | Dropped:
    """Return a claim with the titles of the pages that it rests on; claims of other than three pages are left out."""
    if "titles" in raw:
        titles = field(raw, "titles", list[str])
    else:
        facts = field(raw, "supporting_facts", list[dict[str, Any]])
        titles = list(dict.fromkeys(field(fact, "key", str) for fact in facts))
    if len(titles) != PAGES:
        return Dropped(f"the claim does not rest on {PAGES} pages")
    return {"claim": field(raw, "claim", str), "titles": titles}


SOURCE = Source(
    Hub("hover-nlp/hover", revision=PARQUET),
    to_row,
    inputs=("claim",),
    labels=("titles",),
    train=Part("train", 500),
    val=Part("train", 500),
    holdout=Part("validation", 1520),
    columns=("claim", "supporting_facts"),
)
"""The published test rows tell no pages, so the papers test on the validation rows, as here."""


def make_task(source: Source = SOURCE, k: int = 7, retriever: str = "", corpus: str = "") -> Task:
    """Return the task on these rows, with `k` passages a search."""
    return Task(
        name="hover",
        program=lambda: Hover(search("hover", source, k, retriever=retriever, corpus=corpus)),
        metric=all_found,
        load=source,
        about="find all three pages of Wikipedia that a claim rests on, in three searches",
        published=mipro(25.3, 37.2, 39.0),
        not_tiny="the passages of Wikipedia are longer than it can read",
        needs=("a search of Wikipedia: retriever=URL or corpus=FILE",),
    )


TASK = make_task()
