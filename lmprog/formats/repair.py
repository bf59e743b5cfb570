"""JSON that is not quite JSON: what a library makes of it, where that is certain to have changed no value."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from lmprog.formats.fields import dumps

_MARKS = re.compile(r"""[\s"'“”`,:{}\[\]\\]+""")
"""What a repair may add or leave out."""


def repaired(text: str) -> dict[str, Any] | None:
    """Return the object that a text begins with, in other quotes, with commas too many or too few and the like; or None.

    json-repair guesses, and may drop or divide a value. So a guess is taken only where each of its texts stands
    between quotes and marks in the text, and all that is no mark of JSON is left, in order. What has no end is
    refused: the part that is missing may be a part of a value.
    """
    from json_repair import repair_json  # here, since it takes a while to import and most replies need no repair

    whole = text[: text.rfind("}") + 1]
    if not whole or any(whole.count(a) != whole.count(b) for a, b in ("{}", "[]")):
        return None
    if whole.replace('\\"', "").count('"') % 2:
        return None
    try:
        data = cast("object", repair_json(whole, return_objects=True, skip_json_loads=True))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or _words(dumps(data)) != _words(whole):  # pyright: ignore[reportUnknownArgumentType]
        return None
    members = cast("dict[str, Any]", data)
    return members if all(_stands_in(whole, text) for text in _texts(members)) else None


def _words(text: str) -> str:
    """Return what no repair may touch. Python's words for true, false and null are the same as JSON's."""
    return _MARKS.sub("", text).lower().replace("none", "null")


def _texts(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        yield from _texts(list(cast("Mapping[str, object]", data).values()))
    elif isinstance(data, list):
        for part in cast("list[object]", data):
            yield from _texts(part)


def _stands_in(whole: str, text: str) -> bool:
    """Return whether a text is a whole value of the source: between quotes, and those between marks."""
    escaped = dumps(text)[1:-1]
    forms = "|".join(re.escape(form) for form in {text, escaped, escaped.replace('\\"', '"')})
    return re.search(rf"""[{{\[,:\n]\s*["'“](?:{forms})["'”]\s*[,}}\]\n]""", whole) is not None
