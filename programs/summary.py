"""One summary of two documents, with a critic: summarize each, merge, have it criticized, revise once.

It shows a program of four predictors in which later ones read what earlier ones wrote, and a metric without a gold summary:
it asks which facts are told, in how many words, and whether any name or number is in neither document. The documents are
made up by code from a seed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lmprog import loop
from lmprog.data import Row, fields_in
from lmprog.errors import DataError
from lmprog.metrics import Metric, Score
from lmprog.module import Module
from lmprog.predict import Predict
from lmprog.programs.checks.text import has_word, numbers, sentences, words
from lmprog.programs.made_up.reports import Reports
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task


class Summarize(Signature):
    """Write down every fact in the document, with its names and numbers, and leave the rest out."""

    document: str = InputField()
    summary: str = OutputField()


class Merge(Signature):
    """Make one summary of several, in at most `limit` words. Keep every name and number."""

    summaries: list[str] = InputField()
    limit: int = InputField()
    summary: str = OutputField()


class Criticize(Signature):
    """Say which facts of the documents the summary lacks, what it says that they do not, and whether it is too long."""

    documents: list[str] = InputField()
    limit: int = InputField()
    summary: str = InputField()
    feedback: str = OutputField()


class Revise(Signature):
    """Improve the summary by the feedback. Keep to `limit` words and to what the documents say."""

    documents: list[str] = InputField()
    limit: int = InputField()
    summary: str = InputField()
    feedback: str = InputField()
    revised: str = OutputField(desc="the improved summary alone")


class SummarizeBoth(Module):
    """Summarize each of two documents, merge, criticize, revise. Four modules and five LM calls a pair."""

    def __init__(self) -> None:
        self.summarize = Predict(Summarize)
        self.merge = Predict(Merge)
        self.criticize = Predict(Criticize)
        self.revise = Predict(Revise)

    async def aforward(self, first: str, second: str, limit: int) -> Revise:
        """Return the revised summary."""
        documents = [first, second]
        parts = await loop.gather([self.summarize.acall(document=document) for document in documents])
        merged = await self.merge.acall(summaries=[part.summary for part in parts], limit=limit)
        said = await self.criticize.acall(documents=documents, limit=limit, summary=merged.summary)
        return await self.revise.acall(documents=documents, limit=limit, summary=merged.summary, feedback=said.feedback)


class Fact(BaseModel):
    """What a summary should tell."""

    model_config = ConfigDict(frozen=True)

    statement: str
    """The fact as a sentence."""
    words: str
    """The words by which a summary tells it, as they stand in a document."""


_FACTS = TypeAdapter(list[Fact])


class CheckFacts(Signature):
    """For each statement say whether the summary says so, in whatever words."""

    summary: str = InputField()
    statements: list[str] = InputField()
    said: list[bool] = OutputField(desc="one for each statement, in order")


def facts_told(row: Row, prediction: Revise) -> Score:
    """Return the share of facts that are told, less what is too long and what is made up.

    A fact is told where its words stand in the summary, in any case. The value is that share times `brevity`, the limit
    over the number of words where there are more, and times `support`, the share of the summary's names and numbers that
    stand in a document. All three are parts.
    """
    facts = _FACTS.validate_python(fields_in(row)["facts"])
    return _score(row, prediction.revised, [_says(prediction.revised, fact.words) for fact in facts])


def judged() -> Metric:
    """Return the same metric with a judge, who is asked about facts whose words are not there. At most one LM call a row."""
    check = Predict(CheckFacts)

    async def metric(row: Row, prediction: Revise) -> Score:
        facts = _FACTS.validate_python(fields_in(row)["facts"])
        told = [_says(prediction.revised, fact.words) for fact in facts]
        open_ones = [place for place, found in enumerate(told) if not found]
        if open_ones and prediction.revised.strip():
            asked = [facts[place].statement for place in open_ones]
            said = (await check.acall(summary=prediction.revised, statements=asked)).said
            by_place = dict(zip(open_ones, said, strict=False))
            told = [found or by_place.get(place, False) for place, found in enumerate(told)]
        return _score(row, prediction.revised, told)

    return metric


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the two documents, the words allowed, and the facts to tell."""
    try:
        facts = _FACTS.validate_python(field(raw, "facts", list[Any]))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"`facts` has a fault at {'.'.join(map(str, first['loc']))!r}: {first['msg']}") from None
    limit = field(raw, "limit", int)
    if not facts or limit < 1:
        raise DataError(
            f"there are {len(facts)} `facts` and a `limit` of {limit} words, and at least one of each should be"
        )
    documents = {name: field(raw, name, str) for name in ("first", "second")}
    return {**documents, "limit": limit, "facts": [fact.model_dump() for fact in facts]}


SOURCE = Source(
    Reports(), to_row, inputs=("first", "second", "limit"), labels=("facts",),
    train=Part("train", 80), val=Part("val", 80), holdout=Part("test", 160),
)  # fmt: skip


def make_task(source: Source = SOURCE, judge: bool = False) -> Task:
    """Return the task on other documents; with `judge=true` the metric asks an LM about facts told in other words."""
    return Task(
        name="summary",
        program=SummarizeBoth,
        metric=judged() if judge else facts_told,
        load=source,
        about="one summary of two documents with a critic: summarize, merge, criticize, revise; judged by the facts it tells",
        not_tiny="it answers in a few words and writes no summary: uncompiled it scores 0.003",
    )


TASK = make_task()


def _score(row: Row, summary: str, told: Sequence[bool]) -> Score:
    values = fields_in(row)
    facts = _FACTS.validate_python(values["facts"])
    limit: int = values["limit"]
    length = len(words(summary))
    named = _names_and_numbers(summary)
    strange = [name for name in named if not _says(f"{values['first']}\n{values['second']}", name)]
    coverage = sum(told) / len(facts)
    brevity = min(1.0, limit / max(1, length))
    support = 1 - len(strange) / max(1, len(named))
    feedback = [
        f"The summary does not tell: {fact.statement}" for fact, found in zip(facts, told, strict=True) if not found
    ]
    feedback += [f"It has {length} words and may have {limit}."] if length > limit else []
    feedback += [f"Not in the documents: {', '.join(strange)}."] if strange else []
    parts = {"coverage": coverage, "brevity": brevity, "support": support}
    return Score(coverage * brevity * support, " ".join(feedback), parts)


def _says(text: str, phrase: str) -> bool:
    """Tell whether a text has a phrase; 5,400 is 5400."""
    plain_text, plain_phrase = (re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", " ".join(t.split())) for t in (text, phrase))
    return has_word(plain_text, plain_phrase)


def _names_and_numbers(text: str) -> list[str]:
    """Return the numbers, and the words with a capital that do not begin a sentence; each once."""
    inner = [word for sentence in sentences(text) for word in words(sentence)[1:]]
    names = [re.sub(r"['’]s$", "", word) for word in inner if word[0].isupper() and word != "I"]
    return list(dict.fromkeys([*numbers(text), *names]))
