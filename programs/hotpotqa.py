"""Questions whose answer takes two passages of Wikipedia (HotPotQA: Yang et al. 2018, arXiv:1809.09600).

It shows a pipeline whose first stage has no labels: nobody says what a good query is, and only the answer is scored.

The published scores search all 5 million introductions of Wikipedia by ColBERT. By default the search here is BM25 over the
ten passages that come with each row, those of all rows together: fewer, and the right ones among them. Name another with
`hotpotqa:retriever=URL` or `hotpotqa:corpus=FILE`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lmprog.errors import DataError
from lmprog.hub import Hub
from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.papers import better_together, mipro
from lmprog.programs.search import search
from lmprog.retrieval import Retriever
from lmprog.retrieval.corpus import titled
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Dropped, Part, Source, field
from lmprog.task import Task

LEVEL = "hard"
"""The questions that the papers keep."""


class WriteQuery(Signature):
    """Write a search query for what is still missing to answer the question."""

    passages: list[str] = InputField(desc="found so far")
    question: str = InputField()
    query: str = OutputField()


class Answer(Signature):
    """Answer the question in a few words."""

    passages: list[str] = InputField()
    question: str = InputField()
    answer: str = OutputField()


class Search(Module):
    """Search `hops` times, each time knowing what was found before. One LM call a hop."""

    def __init__(self, retriever: Retriever, hops: int = 2) -> None:
        self.retriever, self.hops = retriever, hops
        self.write_query = ChainOfThought(WriteQuery)

    def forward(self, question: str) -> list[str]:
        """Return the passages, each once, in the order in which they were found."""
        passages: list[str] = []
        for _ in range(self.hops):
            step = self.write_query(passages=passages, question=question)
            passages = list(dict.fromkeys([*passages, *self.retriever(step.query)]))
        return passages


class HotPotQA(Module):
    """Search twice, then answer. Two modules and three LM calls a question."""

    def __init__(self, retriever: Retriever) -> None:
        self.search = Search(retriever)
        self.answer = ChainOfThought(Answer)

    def forward(self, question: str) -> Answer:
        """Return the answer with the passages that it rests on."""
        return self.answer(passages=self.search(question), question=question)


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any] | Dropped:
    """Return question and answer of a hard question; rows that say no level count as hard."""
    if raw.get("level", LEVEL) != LEVEL:
        return Dropped(f"the level is not {LEVEL!r}")
    return {"question": field(raw, "question", str), "answer": field(raw, "answer", str)}


def passages_of(raw: Mapping[str, Any]) -> Sequence[str]:
    """Return the passages of a row: `context` as published, or `paragraphs` with title and text."""
    if "context" in raw:
        context = field(raw, "context", dict[str, Any])
        titles, texts = field(context, "title", list[str]), field(context, "sentences", list[list[str]])
        if len(titles) != len(texts):
            raise DataError(f"`context` has {len(titles)} entries in `title` and {len(texts)} in `sentences`")
        return [titled(title, "".join(sentences)) for title, sentences in zip(titles, texts, strict=True)]
    paragraphs = field(raw, "paragraphs", list[dict[str, Any]]) if raw.get("paragraphs") is not None else []
    return [titled(field(each, "title", str), field(each, "text", str)) for each in paragraphs]


SOURCE = Source(
    Hub("hotpotqa/hotpot_qa", "distractor", "1908d6afbbead072334abe2965f91bd2709910ab"),
    to_row,
    inputs=("question",),
    labels=("answer",),
    train=Part("train", 500),
    val=Part("train", 500),
    holdout=Part("validation", 2000),
    passages=passages_of,
    columns=("question", "answer", "level", "context"),
)


def make_task(source: Source = SOURCE, k: int = 3, retriever: str = "", corpus: str = "") -> Task:
    """Return the task on these rows, with `k` passages a hop from the search that is named."""
    return Task(
        name="hotpotqa",
        program=lambda: HotPotQA(search("hotpotqa", source, k, retriever=retriever, corpus=corpus)),
        metric=exact_match("answer"),
        load=source,
        about="two-hop questions on Wikipedia: search, read, search again, answer",
        published=(
            *mipro(36.1, 45.8, 46.4),
            *better_together(
                uncompiled=(17.2, 13.2, 31.6),
                prompts=(33.8, 33.3, 46.9),
                weights=(22.9, 12.2, 34.8),
                prompts_weights_prompts=(37.6, 34.8, 46.7),
            ),
        ),
        not_tiny="the passages of Wikipedia are longer than it can read; multihop has the same shape and fits",
        needs=("for the published scores a search of all of Wikipedia: retriever=URL",),
    )


TASK = make_task()
