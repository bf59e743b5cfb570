"""The JSON format: one object, with a member for each field.

    {
    "question": "Where was Ada born?",
    "passages": [
    "Ada was born in Oslo.",
    "Oslo lies on the Aker."
    ]
    }

A reply is such an object of the outputs, in their order: reasoning that stands after its answer would explain
what is written already. JSON holds every value, so every value reads back exactly.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from lmprog.formats.fields import dumps, json_text, read_json, read_text, type_words
from lmprog.formats.layout import Own, Unreadable, said_twice
from lmprog.formats.repair import repaired
from lmprog.request import repeated
from lmprog.signature import Field

LAYOUT = "The fields of a message stand in one JSON object, each under its name."
"""The sentence that parts the instruction and the fields from the rules of the layout."""

_START = re.compile(r"""\{\s*(?:("(?:[^"\\]|\\.)*")|'([^']*)'|(\w+))\s*:""")
"""What looks like the beginning of an object: a brace and a key, in whatever quotes."""
_SPACE = re.compile(r"[ \t\r\n]*")
_SHOWN = 40
"""Characters that are shown of what is no JSON."""
_log = logging.getLogger("lmprog.formats")


def _of_one_name(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object inside a value; Unreadable where a name is given twice, of which JSON would keep the last."""
    data = dict(members)
    if len(data) < len(members):
        raise said_twice(repeated(members))
    return data


_STRICT = json.JSONDecoder(object_pairs_hook=_of_one_name)
_WITH_LINE_BREAKS = json.JSONDecoder(object_pairs_hook=_of_one_name, strict=False)
"""Takes line breaks and tabs as they are inside of texts, where JSON wants escapes: many LMs write them so."""


class Json(Own):
    """The layout of json."""

    sentence = LAYOUT
    json_reply = True

    def form(self, outputs: Mapping[str, Field], /) -> str:
        """Return how to reply: every field with the type of its value."""
        members = [f'"{name}": {_placeholder(field)}' for name, field in outputs.items()]
        head = "Reply with a JSON object of every output field, in this order, and nothing else:"
        return f"{head}\n\n{_object(members)}"

    def text(self, data: object, /, *, is_text: bool) -> str:
        """Return the JSON of a value."""
        return json_text(data)

    def write(self, texts: Iterable[tuple[str, str]], /) -> str:
        """Return the object."""
        members = [f'"{name}": {text}' for name, text in texts]
        return _object(members) if members else ""

    def write_reply(self, texts: Iterable[tuple[str, str]], /, *, ended: bool = True) -> str:
        """Return the object; without its end where the reply has not ended."""
        written = self.write(texts)
        return written if ended else written.removesuffix("\n}")

    def split(self, message: str, names: Mapping[str, object], /, *, cut_off: bool = False) -> dict[str, str]:
        """Return the JSON of the named members of the one object that has any of them. What stands around it is ignored.

        An object that is not quite JSON is repaired where that is certain to change no value.
        """
        found: dict[str, str] = {}
        for members in _objects(message, names, repair=not cut_off):
            known = {name: text for name, text in members.items() if name in names}
            if known and found and known != found:
                raise Unreadable("it holds more than one JSON object with outputs")
            found = known or found
        if not found:
            raise Unreadable(f"it holds no JSON object with {' or '.join(f'`{name}`' for name in names)}")
        return found

    def value(self, field: Field, text: str, /) -> Any:
        """Return the value that JSON says: `2` and `true` may stand for a text, and a string for what it says."""
        try:
            return read_json(field, text)
        except ValidationError:
            if text.startswith('"'):
                return read_text(field, json.loads(text))
            if field.is_text and text in {"true", "false"}:
                return field.decode(text)
            raise

    def fields_in(self, message: str, /) -> dict[str, str]:
        """Return what each member says where the message is one object and nothing else; else nothing."""
        text = message.strip()
        try:
            members, end = _members(text, 0, _STRICT) if text.startswith("{") else ({}, 0)
        except (ValueError, RecursionError, Unreadable):
            return {}
        if end < len(text):
            return {}
        return {name: json.loads(value) if value.startswith('"') else value for name, value in members.items()}


def _placeholder(field: Field) -> str:
    words = f"<{type_words(field.schema)}>"
    return f'"{words}"' if field.is_text else words


def _object(members: Iterable[str]) -> str:
    return "{\n" + ",\n".join(members) + "\n}"


def _objects(message: str, names: Mapping[str, object], *, repair: bool) -> Iterator[dict[str, str]]:
    """Yield the members of each object in a message, up to one that is broken.

    What stands inside a broken object is not looked at: it may be a part of a value. So Unreadable where one is
    broken before any had a known member.
    """
    at, known = 0, False
    while start := _START.search(message, at):
        try:
            members, at = _members_in_any(message, start.start())
        except (ValueError, RecursionError) as error:
            if not (start[1] or start[2] in names or start[3] in names):  # prose with a brace in it
                at = start.end()
                continue
            if not known:
                yield _mended(message[start.start() :], names, error, repair=repair)
            return
        known = known or not members.keys().isdisjoint(names)
        if len(members) == 1 and members.keys().isdisjoint(names):
            at = start.end()  # an object around the one asked for
        yield members


def _members_in_any(text: str, start: int) -> tuple[dict[str, str], int]:
    try:
        return _members(text, start, _STRICT)
    except ValueError:
        return _members(text, start, _WITH_LINE_BREAKS)


def _members(text: str, start: int, decoder: json.JSONDecoder) -> tuple[dict[str, str], int]:
    """Return the JSON of each member of the object that begins at `start`, and where the object ends.

    The JSON is the message's own, so that no digit of a number is lost. ValueError or RecursionError where it is none.
    """
    members: dict[str, str] = {}
    at = _behind_space(text, start + 1)
    while not text.startswith("}", at):
        if not text.startswith('"', at):
            raise json.JSONDecodeError("Expecting a name in double quotes", text, at)
        name, at = decoder.raw_decode(text, at)
        begins = _behind_space(text, _behind(text, at, ":"))
        value, at = decoder.raw_decode(text, begins)
        if name in members:
            raise said_twice([name])
        members[name] = text[begins:at] if decoder.strict else dumps(value)
        at = _behind_space(text, at)
        if not text.startswith("}", at):
            at = _behind_space(text, _behind(text, at, ","))
            if text.startswith("}", at):
                raise json.JSONDecodeError("A comma before the end", text, at - 1)
    return members, at + 1


def _behind_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _behind(text: str, at: int, mark: str) -> int:
    at = _behind_space(text, at)
    if not text.startswith(mark, at):
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, at)
    return at + 1


def _mended(broken: str, names: Mapping[str, object], error: Exception, *, repair: bool) -> dict[str, str]:
    data = repaired(broken) if repair else None
    if data is None or not data.keys() <= names.keys():
        raise Unreadable(f"it is not valid JSON: {_said_of(error)}") from None
    _log.info("repaired the JSON of a reply: %r", broken)
    return {name: dumps(value) for name, value in data.items()}


def _said_of(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at {error.doc[error.pos : error.pos + _SHOWN]!r}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
