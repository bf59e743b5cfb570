"""What no prompt may do: break the layout, grow without bound, or quote rows that are kept for scoring."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import cast

from lmprog.formats.chat import LAYOUT
from lmprog.params import Params

MOST_CHARACTERS = 6000
"""The longest instruction."""
GRAM = 8
"""A prompt that shares so many words in a row with a row kept for scoring quotes it."""

_WORD = re.compile(r"\w+")


def faults(params: Params, secrets: frozenset[int]) -> list[str]:
    """Return why the instructions and descriptions of these params cannot be used, or nothing.

    `secrets` are the `grams` of rows kept for scoring. Demos are not searched: they come from training rows.
    """
    found: list[str] = []
    for path, value in params.items():
        for text in (value.instruction, *value.field_descriptions.values()):
            if len(text) > MOST_CHARACTERS:
                found.append(f"`{path}`: the text has {len(text)} characters, more than {MOST_CHARACTERS}")
            if LAYOUT in text or "[[ " in text:
                found.append(f"`{path}`: the text holds marks of the layout, which would be read as fields")
            if secrets and not secrets.isdisjoint(grams([text])):
                found.append(f"`{path}`: the text quotes {GRAM} words in a row from a row that is kept for scoring")
        if not value.instruction.strip():
            found.append(f"`{path}`: the instruction is empty")
    return found


def grams(texts: Iterable[str]) -> set[int]:
    """Return a hash of every run of 8 words, so that quoting can be found without holding the rows."""
    found: set[int] = set()
    for text in texts:
        words = [word.lower() for word in _WORD.findall(text)]
        for start in range(len(words) - GRAM + 1):
            digest = hashlib.sha256(" ".join(words[start : start + GRAM]).encode()).digest()
            found.add(int.from_bytes(digest[:8], "big"))
    return found


def texts_in(value: object) -> Iterable[str]:
    """Yield every text in a row's values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in cast("Mapping[object, object]", value).values():
            yield from texts_in(part)
    elif isinstance(value, (list, tuple)):
        for part in cast("list[object]", value):
            yield from texts_in(part)
