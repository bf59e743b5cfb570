"""Does one sentence follow from another, where both hold negations (ScoNe: She et al. 2023, arXiv:2305.19426).

It shows one chain of thought on questions that look alike and differ in a single "not".
"""

from collections.abc import Mapping
from typing import Any, Literal

from lmprog.errors import DataError
from lmprog.hub import Repository
from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.papers import mipro
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task

LABELS = {"entailment": "Yes", "neutral": "No"}
PUBLISHED = (
    ("sentence1_edited", "sentence2_edited", "gold_label_edited"),
    ("sentence1", "sentence2", "gold_label"),
    ("premise", "hypothesis", "gold"),
)
"""Where the two sentences and the label stand: rows that have edited forms count by these, and `one_scoped` has none."""


class Conclude(Signature):
    """Answer the question from the context."""

    context: str = InputField()
    question: str = InputField()
    answer: Literal["Yes", "No"] = OutputField()


class ScoNe(Module):
    """Reason, then say yes or no. One LM call a question."""

    def __init__(self) -> None:
        self.conclude = ChainOfThought(Conclude)

    def forward(self, context: str, question: str) -> Conclude:
        """Return whether it follows."""
        return self.conclude(context=context, question=question)


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return context, question and answer. Rows with `premise`, `hypothesis` and `gold` are taken too."""
    if "context" in raw:
        if raw.get("answer") not in LABELS.values():
            raise DataError(f"`answer` is {raw.get('answer')!r} and should be one of {', '.join(LABELS.values())}")
        return {name: field(raw, name, str) for name in ("context", "question", "answer")}
    names = next((names for names in PUBLISHED if names[0] in raw), PUBLISHED[0])
    premise, hypothesis, label = (field(raw, name, str) for name in names)
    if label not in LABELS:
        raise DataError(f"`{names[2]}` is {label!r} and should be one of {', '.join(LABELS)}")
    concluded = hypothesis.strip(". ")
    return {
        "context": premise,
        "question": f"Does it follow for sure that {concluded[:1].lower()}{concluded[1:]}?",
        "answer": LABELS[label],
    }


_FOLDERS = ("no_negation", "one_not_scoped", "one_scoped", "one_scoped_one_not_scoped", "two_not_scoped", "two_scoped")
SOURCE = Source(
    Repository(
        "selenashe/ScoNe",
        "b02532a2f4185c6118a57a148455e0750592d8c8",
        tuple((split, tuple(f"scone_nli/{split}/{name}.csv" for name in _FOLDERS)) for split in ("train", "test")),
    ),
    to_row,
    inputs=("context", "question"),
    labels=("answer",),
    train=Part("train", 500),
    val=Part("train", 500),
    holdout=Part("test", 1200),
    columns=PUBLISHED[0],
)


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on these rows."""
    return Task(
        name="scone",
        program=ScoNe,
        metric=exact_match("answer"),
        load=source,
        about="does a sentence follow from another, with up to two negations: reason, then yes or no",
        not_tiny="it does not know what follows from a sentence: it answers with words out of it",
        published=mipro(69.1, 75.4, 79.4),
    )


TASK = make_task()
