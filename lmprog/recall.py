"""How often a retriever finds the paragraphs that questions take: recall at k."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, cast

from lmprog.errors import DataError, InputError
from lmprog.loop import DEFAULT_CONCURRENCY
from lmprog.retrieval import Retriever
from lmprog.retrieval.corpus import BETWEEN, titled
from lmprog.statistics import Interval, mean_interval

_TEXTS = ("text", "paragraph_text")
_MARKS = ("is_supporting", "supporting")
_PARTS = ("decomposition", "question_decomposition")
_WANTED = (
    "Write rows with `question`, `paragraphs` as [{title, text}], and `gold_titles`, or as HotPotQA has them: `context` and "
    "`supporting_facts`, or as MuSiQue has them: `paragraph_support_idx` in each part of `decomposition`, or `is_supporting` in each paragraph"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the passages that its answer takes."""

    question: str
    gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a file, and the paragraphs of all of them in one corpus: "title | text", each once."""

    asked: tuple[Asked, ...]
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """What the first `k` passages hold, as means over the questions, with their 95% intervals."""

    k: int
    recall: float
    """The share of a question's gold paragraphs."""
    interval: Interval
    complete: float
    """How often all of them are there."""
    complete_interval: Interval


def questions_in(rows: Iterable[Mapping[str, Any]], *, what: str) -> Questions:
    """Return what rows ask and bring, as HotPotQA or MuSiQue have it. DataError names `what` and the row at fault."""
    asked: list[Asked] = []
    pool: dict[str, None] = {}
    for number, told in enumerate(rows):
        try:
            row = _published(told) if "context" in told and "paragraphs" not in told else told
            paragraphs = _paragraphs(row)
            gold = tuple(dict.fromkeys(titled(*paragraphs[place]) for place in _gold(row, paragraphs)))
            asked.append(Asked(_text(row, "question"), gold))
        except DataError as error:
            raise DataError(f"{what}, row {number}: {error}. {_WANTED}.") from None
        pool |= dict.fromkeys(titled(*paragraph) for paragraph in paragraphs)
    if not asked:
        raise DataError(f"{what} is empty. {_WANTED}.")
    return Questions(tuple(asked), tuple(pool))


def measure(
    questions: Questions, retriever: Retriever, ks: Sequence[int], *, concurrency: int = DEFAULT_CONCURRENCY
) -> list[Recall]:
    """Return the recall at each of `ks`, of the passages that a retriever finds for the questions as they are.

    Each question is asked once, several at a time; the retriever should return as many passages as the largest of `ks`. A
    gold paragraph is found where a passage is equal to it. A passage that is none of the pool, as of a retriever that
    searches elsewhere, is taken by its title, for each gold paragraph that has the same one.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"recall is measured at {list(ks)} passages. Give numbers from 1 on, such as 1, 2, 5, 10.")
    contexts = [copy_context() for _ in questions.asked]  # a retriever may ask an LM
    texts = [asked.question for asked in questions.asked]

    def find(context: Context, query: str) -> list[str]:
        return _checked(context.run(retriever, query))

    with ThreadPoolExecutor(concurrency) as threads:
        found = list(threads.map(find, contexts, texts))
    pool = frozenset(questions.passages)
    places = [
        [_place(gold, passages, pool) for gold in asked.gold]
        for asked, passages in zip(questions.asked, found, strict=True)
    ]
    return [_recall_at(k, places) for k in ks]


def _recall_at(k: int, places: Sequence[Sequence[float]]) -> Recall:
    shares = [sum(place < k for place in of_row) / len(of_row) for of_row in places]
    complete = [float(share == 1) for share in shares]
    return Recall(
        k,
        recall=sum(shares) / len(shares),
        interval=mean_interval(shares),
        complete=sum(complete) / len(complete),
        complete_interval=mean_interval(complete),
    )


def _place(gold: str, passages: Sequence[str], pool: frozenset[str]) -> float:
    """Return where among passages a gold paragraph stands first; infinity where it does not."""
    title = _title(gold)
    for place, passage in enumerate(passages):
        if passage == gold or (title and passage not in pool and _title(passage) == title):
            return place
    return math.inf


def _title(passage: str) -> str:
    title, between, _ = passage.partition(BETWEEN)
    return title.strip().casefold() if between else ""


def _checked(found: object) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(each, str) for each in cast("list[object]", found)):
        raise InputError(f"the retriever returned {found!r:.200}. It should return a list of texts, best first.")
    return cast("list[str]", found)


def _paragraphs(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return title and text of each paragraph of a row."""
    listed = [_object(paragraph, "a paragraph") for paragraph in _list(row, "paragraphs")]
    names = [next((name for name in _TEXTS if name in paragraph), _TEXTS[0]) for paragraph in listed]
    return [(_text(paragraph, "title"), _text(paragraph, name)) for paragraph, name in zip(listed, names, strict=True)]


def _published(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row of HotPotQA, of its own files or of the Hugging Face hub, with paragraphs and gold titles."""
    context = _pairs(row, "context", "title", "sentences")
    paragraphs = [{"title": title, "text": "".join(_texts_in(title, sentences))} for title, sentences in context]
    titles = [title for title, _ in _pairs(row, "supporting_facts", "title", "sent_id")]
    return {**row, "paragraphs": paragraphs, "gold_titles": list(dict.fromkeys(titles))}


def _pairs(row: Mapping[str, Any], name: str, *parts: str) -> list[tuple[str, object]]:
    """Return the pairs of a field that lists them, or that lists each of their parts, as the hub does."""
    value: Any = row.get(name)
    if isinstance(value, dict):
        columns: list[Any] = [cast("Mapping[str, Any]", value).get(part) for part in parts]
        if all(isinstance(column, list) for column in columns) and len(set(map(len, columns))) == 1:
            value = list(zip(*columns, strict=True))
    if isinstance(value, list) and all(map(_is_pair, cast("list[object]", value))):
        return [(title, other) for title, other in cast("list[tuple[str, object]]", value)]
    found = f"`{name}` is {row[name]!r:.80} and" if name in row else f"`{name}` is missing: it"
    raise DataError(f"{found} should be a list of [{', '.join(parts)}]")


def _is_pair(value: object) -> bool:
    if not isinstance(value, list | tuple):
        return False
    parts = cast("Sequence[object]", value)
    return len(parts) == 2 and isinstance(parts[0], str)


def _texts_in(title: str, sentences: object) -> list[str]:
    if not isinstance(sentences, list) or not all(isinstance(each, str) for each in cast("list[object]", sentences)):
        raise DataError(f"the sentences of {title!r:.80} are {sentences!r:.80} and should be a list of texts")
    return cast("list[str]", sentences)


def _gold(row: Mapping[str, Any], paragraphs: Sequence[tuple[str, str]]) -> list[int]:
    """Return the places of the paragraphs that the answer takes."""
    parts = next((name for name in _PARTS if name in row), None)
    if "gold_titles" in row:
        titles = _list(row, "gold_titles")
        gold = [place for place, (title, _) in enumerate(paragraphs) if title in titles]
        known: list[object] = [title for title, _ in paragraphs]
        missing = [title for title in titles if title not in known]
        if missing:
            raise DataError(f"`gold_titles` holds {missing[0]!r:.80}, the title of no paragraph")
    elif parts is not None:
        gold = [_support(_object(part, f"a part of `{parts}`"), len(paragraphs)) for part in _list(row, parts)]
    else:
        listed = [_object(paragraph, "a paragraph") for paragraph in _list(row, "paragraphs")]
        gold = [place for place, each in enumerate(listed) if any(each.get(mark) is True for mark in _MARKS)]
    if not gold:
        raise DataError("nothing says which paragraphs the answer takes")
    return gold


def _support(part: Mapping[str, Any], count: int) -> int:
    place = part.get("paragraph_support_idx")
    if not isinstance(place, int) or not 0 <= place < count:
        raise DataError(f"`paragraph_support_idx` is {place!r:.80}, and there are {count} paragraphs, from 0 on")
    return place


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise DataError(f"`{name}` is {value!r:.80} and should be a text" if name in fields else f"`{name}` is missing")
    return value


def _list(fields: Mapping[str, Any], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list) or not value:
        raise DataError(f"`{name}` is {value!r:.80} and should be a list" if name in fields else f"`{name}` is missing")
    return cast("list[object]", value)


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{what} is {value!r:.80} and should be an object")
    return cast("Mapping[str, Any]", value)
