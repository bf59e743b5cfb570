"""Wordings for training that are too many to stand in code: of instructions by task, of sentences by what they tell.

None is held out: what the embedded LM is judged by stands beside each task, and in the last fifth of the world's lists.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import cast

_FOLDER = Path(__file__).parent / "wordings"


def instructions(task: str) -> Sequence[str]:
    """Return further instructions of a task, or of a family of tasks with slots for what differs; none where there are none."""
    found = _read("instructions").get(task, ())
    return instructions(found) if isinstance(found, str) else tuple(cast("list[str]", found))


def tasks() -> Sequence[str]:
    """Return the tasks, and the families of tasks, that have further instructions."""
    return tuple(_read("instructions"))


def openers(kind: str) -> Sequence[str]:
    """Return further first sentences of passages of the world on a kind of entity."""
    return tuple(cast("Mapping[str, Mapping[str, list[str]]]", _read("sentences")).get("openers", {}).get(kind, ()))


def sentences(what: str, kind: str, relation: str) -> Sequence[str]:
    """Return further sentences, questions or phrases of the world, of a relation of a kind of entity."""
    found = cast("Mapping[str, Mapping[str, Mapping[str, list[str]]]]", _read("sentences"))
    return tuple(found.get(what, {}).get(kind, {}).get(relation, ()))


def asides(where: str) -> Sequence[str]:
    """Return what may stand before or after what a sentence of a passage tells."""
    return tuple(cast("Mapping[str, Mapping[str, list[str]]]", _read("sentences"))["asides"][where])


def composed(task: str, rng: Random, held: Sequence[str]) -> str | None:
    """Return an instruction made of two parts, how it is asked and what is asked for; None where a task has none.

    It is like none of the `held` ones.
    """
    texts = cast("Mapping[str, Mapping[str, list[str]]]", _read("phrases"))
    asked = texts["phrases"].get(task)
    if not asked:
        return None
    while True:
        frame, what = rng.choice(cast("list[str]", texts["frames"])), rng.choice(asked)
        found = frame.format(x=what, X=what[0].upper() + what[1:])
        if not any(alike(found, one) for one in held):
            return found


def dressed(instruction: str, rng: Random) -> str:
    """Return an instruction with words around it that change nothing of what it asks for."""
    texts = cast("Mapping[str, list[str]]", _read("phrases"))
    if rng.random() < 0.5:
        return f"{rng.choice(texts['before'])} {instruction}"
    return f"{instruction} {rng.choice(texts['after'])}"


def alike(one: str, other: str) -> bool:
    """Tell whether two wordings share four of five words."""
    first, second = _words(one), _words(other)
    return len(first & second) >= 0.8 * len(first | second)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.sub(r"[^a-z0-9 ]", "", text.lower()).split())


@cache
def _read(file: str) -> Mapping[str, object]:
    return cast("Mapping[str, object]", json.loads((_FOLDER / f"{file}.json").read_text("utf-8")))
