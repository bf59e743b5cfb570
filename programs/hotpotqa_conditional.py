"""HotPotQA where the form of an answer depends on what it names (Opsahl-Ong et al. 2024, arXiv:2406.11695).

It shows where instructions win over demonstrations: four rules, of which a few demonstrations show one or two.

The 900 questions were labelled by hand with the kind of their answer; they come without passages, so name a search, as with
`hotpotqa`. The published metric looks for "Peace!" behind a date after it took all punctuation off, so that no date could be
right, and the 26 of them scored 0. Here they can be. Articles do not count here either.
"""

from collections.abc import Mapping
from typing import Any, Literal

from lmprog.data import Row, fields_in
from lmprog.hub import Repository
from lmprog.metrics import Score, normalized
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.hotpotqa import Search
from lmprog.programs.papers import mipro
from lmprog.programs.search import search
from lmprog.retrieval import Retriever
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task

Kind = Literal["person", "place", "date", "other"]
END = "Peace!"
"""What an answer that is a date has to end with, and no other may."""
MARKS = ",.?!;:"
"""What an answer that is a place must not hold."""


class AnswerInForm(Signature):
    """Answer the question in a few words, in the form that its answer asks for. Write a person in lower case only. Write a
    place without punctuation. End a date with "Peace!", and nothing else. Write all other answers in capital letters only."""

    passages: list[str] = InputField()
    question: str = InputField()
    answer: str = OutputField()


class ConditionalHotPotQA(Module):
    """Search twice, then answer in the form asked for. Two modules and three LM calls a question."""

    def __init__(self, retriever: Retriever) -> None:
        self.search = Search(retriever)
        self.answer = ChainOfThought(AnswerInForm)

    def forward(self, question: str) -> AnswerInForm:
        """Return the answer with the passages that it rests on."""
        return self.answer(passages=self.search(question), question=question)


def in_form(answer: str, kind: Kind) -> bool:
    """Tell whether an answer has the form of its kind."""
    if kind == "person":
        return answer == answer.lower()
    if kind == "place":
        return not set(MARKS) & set(answer)
    if kind == "date":
        return answer.endswith(END)
    return answer == answer.upper() and not answer.endswith(END)


def right_and_in_form(row: Row, prediction: AnswerInForm) -> Score:
    """Return 1 where the answer is right and in form, else 0; the parts tell the two apart."""
    fields, answer = fields_in(row), prediction.answer.strip()
    kind: Kind = fields["kind"]
    said = answer.removesuffix(END) if kind == "date" else answer
    right, formed = normalized(said) == normalized(fields["answer"]), in_form(answer, kind)
    wrong = [] if right else [f"The right answer is {fields['answer']!r}."]
    wrong += [] if formed else [f"The answer names a {kind}, whose form is another: {RULES[kind]}."]
    return Score(float(right and formed), " ".join(wrong), {"right": float(right), "in form": float(formed)})


RULES: Mapping[Kind, str] = {
    "person": "lower case only",
    "place": f"no punctuation ({' '.join(MARKS)})",
    "date": f"{END!r} at the end",
    "other": f"capital letters only, and no {END!r} at the end",
}


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return question, answer and kind. Of the labels only "person", "place" and "date" count, as in the published metric."""
    label = field(raw, "kind" if "kind" in raw else "answer category", str)
    kind = label if label in RULES else "other"
    return {"question": field(raw, "question", str), "answer": field(raw, "answer", str), "kind": kind}


_FOLDER = "testing/datasets/hotpotqa_conditional"
SOURCE = Source(
    Repository(
        "stanfordnlp/dspy",
        "63ec24ebb984495c5ae1094ce2a47d8b468d2252",  # the last commit that has them
        tuple((split, (f"{_FOLDER}/hotpot_{split}.csv",)) for split in ("train", "dev", "test")),
    ),
    to_row,
    inputs=("question",),
    labels=("answer", "kind"),
    train=Part("train", 500),
    val=Part("dev", 200),
    holdout=Part("test", 200),
    columns=("question", "answer", "answer category"),
)


def make_task(source: Source = SOURCE, k: int = 3, retriever: str = "", corpus: str = "") -> Task:
    """Return the task on these rows, with `k` passages a hop from the search that is named."""
    return Task(
        name="hotpotqa-conditional",
        program=lambda: ConditionalHotPotQA(
            search("hotpotqa-conditional", source, k, retriever=retriever, corpus=corpus)
        ),
        metric=right_and_in_form,
        load=source,
        about="two-hop questions on Wikipedia, answered in a form that depends on what the answer names",
        published=mipro(6.0, 10.4, 23.3),
        not_tiny="the passages of Wikipedia are longer than it can read",
        needs=("a search of Wikipedia: retriever=URL or corpus=FILE",),
    )


TASK = make_task()
