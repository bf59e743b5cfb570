"""What no prompt may do: break the layout, grow without bound, or quote rows that are kept for scoring."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import cast

from pydantic import BaseModel

from lmprog.data import Row, fields_in
from lmprog.formats import chat, json, xml
from lmprog.params import Params, PredictorParams

MOST_CHARACTERS = 6000
"""The longest instruction."""
GRAM = 8
"""A prompt that shares so many words in a row with a row kept for scoring quotes it."""

_WORD = re.compile(r"\w+")
_LAYOUTS = (chat.LAYOUT, json.LAYOUT, xml.LAYOUT)


def faults(params: Params, secrets: frozenset[int], *, written: Params) -> list[str]:
    """Return why the instructions and descriptions of these params cannot be used, or nothing.

    `secrets` are the `grams` of rows kept for scoring. Texts that the user has `written` into the program are not
    judged, and demos are not searched: they come from training rows.
    """
    found: list[str] = []
    for path, value in params.items():
        own = _texts(written[path]) if path in written else []
        for text in dict.fromkeys(text for text in _texts(value) if text not in own):
            if len(text) > MOST_CHARACTERS:
                found.append(f"`{path}`: the text has {len(text)} characters, more than {MOST_CHARACTERS}")
            if "[[ " in text or any(layout in text for layout in _LAYOUTS):
                found.append(f"`{path}`: the text holds marks of the layout, which would be read as fields")
            if secrets and not secrets.isdisjoint(grams([text])):
                found.append(f"`{path}`: the text quotes {GRAM} words in a row from a row that is kept for scoring")
        if not value.instruction.strip() and value.instruction not in own:
            found.append(f"`{path}`: the instruction is empty")
    return found


def _texts(value: PredictorParams) -> list[str]:
    return [value.instruction, *value.field_descriptions.values()]


def secrets_of(kept: Iterable[Row], shown: Iterable[Row]) -> frozenset[int]:
    """Return the `grams` of the rows kept for scoring, less those that also stand in rows that may be shown.

    What all rows share, such as a list of options, gives nothing away.
    """
    hidden, open_ = (grams(text for row in rows for text in texts_in(fields_in(row))) for rows in (kept, shown))
    return frozenset(hidden - open_)


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
    if isinstance(value, BaseModel):
        value = fields_in(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in cast("Mapping[object, object]", value).values():
            yield from texts_in(part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in cast("Iterable[object]", value):
            yield from texts_in(part)
