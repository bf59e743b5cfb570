"""Wordings for training that are too many to stand in code: of instructions by task, of sentences by what they tell.

None is held out: what the embedded LM is judged by stands beside each task, and in the last fifth of the world's lists.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
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


@cache
def _read(file: str) -> Mapping[str, object]:
    return cast("Mapping[str, object]", json.loads((_FOLDER / f"{file}.json").read_text("utf-8")))
