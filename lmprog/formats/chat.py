"""The chat format: fields under their names in double square brackets.

    [[ question ]]
    Where was Ada born?

    [[ passages ]]
    [
    "Ada was born in Oslo."
    ]

A reply has the same layout and ends with `[[ end of fields ]]`. A text is shown as it is, unless the layout
could not carry it (it holds a line that begins like a field, or space at its ends, or would be taken for a JSON
string): then it stands as a JSON string. All other values are JSON. So every value reads back exactly.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lmprog.formats.fields import is_plain, json_text, read_text, type_words, unquoted
from lmprog.formats.layout import Own, Unreadable, said_twice
from lmprog.signature import Field

END = "[[ end of fields ]]"
LAYOUT = (
    "Each field is its name in double square brackets on a line of its own, with the value below. "
    "A text that holds such a line stands as a JSON string."
)
"""The sentences that part the instruction and the fields from the rules of the layout."""

_MARKER = re.compile(r"\[\[ (\S+|end of fields) \]\]")  # \w would miss the vowel signs of many scripts
_log = logging.getLogger("lmprog.formats")


class Chat(Own):
    """The layout of chat."""

    sentence = LAYOUT
    json_reply = False

    def form(self, outputs: Mapping[str, Field], /) -> str:
        """Return how to reply: every field with the type of its value."""
        blocks = [f"[[ {name} ]]\n<{type_words(field.schema)}>" for name, field in outputs.items()]
        return "\n\n".join(["Reply with every output field in that layout, and nothing else:", *blocks, END])

    def text(self, data: object, /, *, is_text: bool) -> str:
        """Return a string as it is where the layout can carry it, anything else as JSON."""
        return data if is_plain(data, is_text=is_text) and _fits(data) else json_text(data)

    def write(self, texts: Iterable[tuple[str, str]], /) -> str:
        """Return the fields, a blank line between them."""
        return "\n\n".join([f"[[ {name} ]]\n{text}" for name, text in texts])

    def write_reply(self, texts: Iterable[tuple[str, str]], /, *, ended: bool = True) -> str:
        """Return the fields and the end marker."""
        fields = self.write(texts)
        return f"{fields}\n\n{END}" if ended else fields

    def split(self, message: str, names: Mapping[str, object], /, *, cut_off: bool = False) -> dict[str, str]:
        """Return the texts of the named fields. What stands before the first and after the end marker is ignored.

        So is a section under another name, which begins after a blank line and has its name alone on a line. Any
        other line that only looks like a field belongs to the value around it.
        """
        marks = [m for m in _marks(message) if m[1] in names or m[0] == END or _heads_a_section(m)]
        if cut_off and not any(mark[0] == END for mark in marks):
            raise Unreadable("it has no end")
        texts: dict[str, str] = {}
        twice: dict[str, None] = {}
        for name, text in _between(message, marks):
            if name not in names:
                _log.info("ignored the section %a of a reply: no field has this name", name)
            elif name in texts:
                twice[name] = None
            else:
                texts[name] = text
        if twice:
            raise Unreadable(
                f"{said_twice(twice)}; a text that holds the line `[[ {next(iter(twice))} ]]` must stand as a JSON string"
            )
        return texts

    def value(self, field: Field, text: str, /) -> Any:
        """Return the value that a text says."""
        return read_text(field, text_of(text) if field.is_text else text)

    def fields_in(self, message: str, /) -> dict[str, str]:
        """Return what each field says, whatever its name."""
        return {name: text_of(text) for name, text in _between(message, _marks(message))}


def text_of(shown: str) -> str:
    """Return what the text of a value says.

    A JSON string stands for what it says only where that could not stand as it is, or where it has escapes: a
    text that is in quotes for another reason keeps them.
    """
    said = unquoted(shown)
    return said if said is not None and ("\\" in shown or not _fits(said)) else shown


def _fits(text: str) -> bool:
    """Return whether the layout can carry a text as it is."""
    return text == text.strip() and not _marks(text) and text_of(text) == text


def _marks(text: str) -> list[re.Match[str]]:
    """Return the markers that begin a line. (`^` would be tried at every character, which takes three times as long.)"""
    if "[[ " not in text:
        return []
    return [mark for mark in _MARKER.finditer(text) if not mark.start() or text[mark.start() - 1] == "\n"]


def _heads_a_section(mark: re.Match[str]) -> bool:
    """Return whether a mark is alone on its line, after a blank one."""
    message, start = mark.string, mark.start()
    after = message[mark.end() :].partition("\n")[0]
    before = message[message.rfind("\n", 0, max(start - 1, 0)) + 1 : start]
    return not after.strip() and not before.strip()


def _between(message: str, marks: list[re.Match[str]]) -> list[tuple[str, str]]:
    """Return (name, text of the value) for each mark up to the end marker."""
    found: list[tuple[str, str]] = []
    for i, mark in enumerate(marks):
        if mark[0] == END:
            break
        stop = marks[i + 1].start() if i + 1 < len(marks) else len(message)
        found.append((mark[1], message[mark.end() : stop].strip()))
    return found
