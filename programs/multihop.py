"""Two-hop question answering: search, read, search again, answer.

The data are an encyclopedia of people, cities, works and companies that exist nowhere: code writes it from a seed,
with names of random syllables, so that no LM can know an answer and every one must be looked up in two steps.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from lmprog.data import Splits
from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.predict import ChainOfThought, Predict
from lmprog.programs.made_up.names import invented_words
from lmprog.retrieval import BM25, Retriever
from lmprog.signature import InputField, OutputField, Signature
from lmprog.task import Task


class WriteQuery(Signature):
    """Write a search query that helps answer the question."""

    question: str = InputField()
    passages: list[str] = InputField()
    query: str = OutputField()


class Answer(Signature):
    """Answer the question."""

    question: str = InputField()
    passages: list[str] = InputField()
    answer: str = OutputField()


class MultiHopQA(Module):
    """Search `hops` times, each time knowing the passages found before, then answer. `hops` + 1 LM calls a question.

    Each search adds the best passage that was not found before: the passage that names an entity often matches the
    search for that entity as well as its own passage does. So the retriever should return at least `hops` passages.
    """

    def __init__(self, retriever: Retriever, hops: int = 2) -> None:
        self.retriever, self.hops = retriever, hops
        self.write_query = Predict(WriteQuery)
        self.answer = ChainOfThought(Answer)

    def forward(self, question: str) -> Answer:
        """Return the answer, with the passages that it rests on."""
        passages: list[str] = []
        for _ in range(self.hops):
            step = self.write_query(question=question, passages=passages)
            unread = [found for found in self.retriever(step.query) if found not in passages]
            passages = passages + unread[:1]
        return self.answer(question=question, passages=passages)


Kind = Literal["person", "city", "work", "company"]


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject of the encyclopedia."""

    kind: Kind
    name: str
    facts: Mapping[str, str]
    passage: str
    """All that the encyclopedia says about it."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that two passages answer together, and neither alone."""

    text: str
    answer: str
    chain: tuple[Entity, Entity]
    """What must be looked up: the entity that the question names, and the one that its passage names."""


@dataclass(frozen=True, slots=True)
class Encyclopedia:
    """Passages on everything, and questions by use. Questions of different use share no entity."""

    passages: tuple[str, ...]
    questions: Mapping[str, tuple[Question, ...]]


QUESTIONS = {"train": 80, "val": 100, "holdout": 160}
DISTRACTORS = 320
"""Entities that no question asks for: with the two of each question, 1000 passages."""

SENTENCES: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "person": (
        (
            "{name} is {a_job} born in {birthplace} in {born} .",
            "{name} was born in {birthplace} in {born} and became {a_job} .",
            "Born in {birthplace} in {born} , {name} is known as {a_job} .",
        ),
        ("{name} married {spouse} .", ""),
    ),
    "city": (
        ("{name} is a city in {country} .", "{name} is a town in {country} ."),
        ("It was founded in {founded} .", "It dates from {founded} ."),
        ("It lies on the river {river} .", "The river {river} flows through it ."),
    ),
    "work": (
        (
            "{name} is a {genre} {made} by {creator} in {year} .",
            "{name} is a {genre} from {year} {made} by {creator} .",
        ),
    ),
    "company": (
        ("{name} is a {industry} company based in {seat} .", "{name} , based in {seat} , makes {industry} goods ."),
        ("It was founded by {founder} in {founded} .", "{founder} founded it in {founded} ."),
    ),
}
"""By kind, the sentences of a passage, each with its wordings."""

BRIDGES: tuple[tuple[Kind, str, Kind, tuple[str, ...]], ...] = (
    ("work", "creator", "person", ("the creator of {name}", "the {role} of {name}", "the person who made {name}")),
    ("company", "founder", "person", ("the founder of {name}", "the person who founded {name}")),
    ("company", "seat", "city", ("the seat of {name}", "the city where {name} is based")),
    ("person", "birthplace", "city", ("the birthplace of {name}", "the city where {name} was born")),
)
"""First hops: the kind asked about, the fact that leads on, the kind it leads to, how the question calls that one."""

ASKED: dict[Kind, dict[str, tuple[str, ...]]] = {
    "person": {
        "birthplace": ("Where was {it} born ?", "In which city was {it} born ?", "What is the birthplace of {it} ?"),
        "job": ("What is the job of {it} ?", "What does {it} do ?"),
        "born": ("When was {it} born ?", "In which year was {it} born ?"),
    },
    "city": {
        "country": ("In which country is {it} ?", "What country is {it} in ?"),
        "river": ("Which river flows through {it} ?", "On which river does {it} lie ?"),
    },
}
"""Second hops: by kind, the facts asked for, each with its wordings."""

JOBS = ("architect", "chef", "chemist", "composer", "dancer", "engineer", "historian", "lawyer", "painter", "pilot", "poet", "sailor", "singer", "surgeon", "writer")  # fmt: skip
GENRES = {  # how one is made, and who makes it
    "film": ("directed", "director"),
    "novel": ("written", "author"),
    "opera": ("composed", "composer"),
    "painting": ("painted", "painter"),
    "poem": ("written", "author"),
    "song": ("recorded", "singer"),
}
INDUSTRIES = ("bicycle", "camera", "chocolate", "furniture", "glass", "paper", "software", "steel", "textile", "toy")
FIRMS = ("Brothers", "Company", "Group", "Industries", "Works")
QUALITIES = ("Bitter", "Brave", "Cheap", "Cold", "Dark", "Deep", "Early", "Empty", "Fresh", "Gentle", "Happy", "Heavy", "Hidden", "Late", "Light", "Loud", "Lucky", "Narrow", "Old", "Proud", "Quiet", "Rich", "Sad", "Safe", "Sharp", "Short", "Slow", "Smooth", "Strong", "Sweet", "Tall", "Thin", "Warm", "Wild", "Young")  # fmt: skip


@lru_cache(maxsize=8)
def encyclopedia(seed: int = 0) -> Encyclopedia:
    """Return the encyclopedia of a seed: the same on every machine, others for other seeds."""
    rng = random.Random(seed)
    words = invented_words(rng)
    questions = {use: tuple(_question(rng, words) for _ in range(count)) for use, count in QUESTIONS.items()}
    entities = [entity for asked in questions.values() for question in asked for entity in question.chain]
    entities += [_entity(rng, words, rng.choice(list(SENTENCES))) for _ in range(DISTRACTORS)]
    rng.shuffle(entities)
    return Encyclopedia(tuple(entity.passage for entity in entities), questions)


def make_splits(seed: int = 0) -> Splits:
    """Return the rows of a seed's questions: 80 train, 100 val, 160 holdout."""
    rows = {
        use: tuple({"question": question.text, "answer": question.answer} for question in asked)
        for use, asked in encyclopedia(seed).questions.items()
    }
    return Splits(rows["train"], rows["val"], rows["holdout"])


@lru_cache(maxsize=8)
def make_retriever(seed: int = 0) -> BM25:
    """Return a search of a seed's encyclopedia, for two hops. The index is built once a process."""
    return BM25(encyclopedia(seed).passages, k=2)


def make_task(seed: int = 0) -> Task:
    """Return the task on the encyclopedia of a seed."""
    return Task(
        name="multihop",
        program=lambda: MultiHopQA(make_retriever(seed)),
        metric=exact_match("answer"),
        load=partial(make_splits, seed),
        about="two-hop questions on an encyclopedia of invented names: search, read, search again, answer",
        lms=("tiny",),
    )


TASK = make_task()


def _question(rng: random.Random, words: Iterator[str]) -> Question:
    kind, link, next_kind, phrases = rng.choice(BRIDGES)
    second = _entity(rng, words, next_kind)
    first = _entity(rng, words, kind, {link: second.name})
    asked, wordings = rng.choice(list(ASKED[next_kind].items()))
    phrase = rng.choice(phrases).format(name=first.name, role=first.facts.get("role"))
    return Question(rng.choice(wordings).format(it=phrase), second.facts[asked], (first, second))


def _entity(rng: random.Random, words: Iterator[str], kind: Kind, given: Mapping[str, str] | None = None) -> Entity:
    """Make up an entity with a new name, and new names for all that it refers to and that is not given."""
    name, facts = _draw(rng, words, kind)
    facts = {**facts, **(given or {})}
    sentences = [rng.choice(wordings).format(name=name, **facts) for wordings in SENTENCES[kind]]
    return Entity(kind, name, facts, " ".join(filter(None, sentences)))


def _draw(rng: random.Random, words: Iterator[str], kind: Kind) -> tuple[str, dict[str, str]]:
    """Return a name and facts for an entity."""

    def person() -> str:
        return f"{next(words)} {next(words)}"

    if kind == "person":
        job = rng.choice(JOBS)
        a_job = f"an {job}" if job[0] in "aeiou" else f"a {job}"
        facts = {"birthplace": next(words), "job": job, "a_job": a_job, "spouse": person()}
        return person(), facts | {"born": str(rng.randint(1800, 1999))}
    if kind == "city":
        facts = {"country": next(words) + rng.choice(("ia", "land", "stan")), "river": next(words)}
        return next(words), facts | {"founded": str(rng.randint(1100, 1900))}
    if kind == "work":
        genre = rng.choice(list(GENRES))
        made, role = GENRES[genre]
        facts = {"genre": genre, "made": made, "role": role, "creator": person(), "year": str(rng.randint(1850, 2020))}
        return f"{rng.choice(('The ', ''))}{rng.choice(QUALITIES)} {next(words)}", facts
    facts = {"seat": next(words), "industry": rng.choice(INDUSTRIES), "founder": person()}
    return f"{next(words)} {rng.choice(FIRMS)}", facts | {"founded": str(rng.randint(1850, 2010))}
