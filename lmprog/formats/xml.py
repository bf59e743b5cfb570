"""The XML format: each field between tags of its name.

    <question>Where was Ada born?</question>
    <passages>
    [
    "Ada was born in Oslo.",
    "Oslo lies on the Aker."
    ]
    </passages>

A reply has the same layout. Nothing is escaped, so that code and markup stay readable and `a < b && c` needs no
care. A text that the layout could not carry (it holds its own tags, or space at its ends, or begins with a CDATA
section) stands in CDATA sections. Values other than texts are JSON. So every value reads back exactly.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lmprog.formats.fields import is_plain, json_text, read_text, type_words
from lmprog.formats.layout import Own, Unreadable, said_twice
from lmprog.signature import Field

LAYOUT = (
    "Each field stands between tags of its name, with nothing escaped. "
    "A text that holds these tags stands in <![CDATA[...]]>."
)
"""The sentences that part the instruction and the fields from the rules of the layout."""

_TAG = re.compile(r"<(/?)([^\s<>/]+)>")
_OPEN, _CLOSE = "<![CDATA[", "]]>"


class Xml(Own):
    """The layout of xml."""

    sentence = LAYOUT
    json_reply = False

    def form(self, outputs: Mapping[str, Field], /) -> str:
        """Return how to reply: every field with the type of its value."""
        blocks = [f"<{name}>{{{type_words(field.schema)}}}</{name}>" for name, field in outputs.items()]
        return "Reply with every output field in that layout, and nothing else:\n\n" + "\n".join(blocks)

    def text(self, data: object, /, *, is_text: bool) -> str:
        """Return a string as it is, anything else as JSON."""
        return data if is_plain(data, is_text=is_text) else json_text(data)

    def write(self, texts: Iterable[tuple[str, str]], /) -> str:
        """Return the fields, each on lines of its own."""
        return "\n".join([_element(name, text) for name, text in texts])

    def write_reply(self, texts: Iterable[tuple[str, str]], /, *, ended: bool = True) -> str:
        """Return the fields; without the last tag where the reply has not ended."""
        fields = self.write(texts)
        return fields if ended else fields[: fields.rfind("</")]

    def split(self, message: str, names: Mapping[str, object], /, *, cut_off: bool = False) -> dict[str, str]:
        """Return the texts of the named fields. What stands outside of them is ignored, tags of other names too."""
        texts: dict[str, str] = {}
        at = 0
        while tag := _TAG.search(message, at):
            at, name = tag.end(), tag[2]
            if name not in names:
                continue
            if tag[1]:
                raise Unreadable(f"`</{name}>` closes nothing; {_in_cdata(name)}")
            if name in texts:
                raise Unreadable(f"{said_twice([name])}; {_in_cdata(name)}")
            texts[name], at = _content(message, name, at)
        return texts

    def value(self, field: Field, text: str, /) -> Any:
        """Return the value that a text says."""
        return read_text(field, text)

    def fields_in(self, message: str, /) -> dict[str, str]:
        """Return what each field says where the message is fields and nothing else; else nothing."""
        texts: dict[str, str] = {}
        at, end = 0, len(message.rstrip())
        try:
            while at < end:
                tag = _TAG.match(message, at)
                if tag is None or tag[1]:
                    return {}
                texts[tag[2]], at = _content(message, tag[2], tag.end())
                at += message.startswith("\n", at)
        except Unreadable:
            return {}
        return texts


def _element(name: str, text: str) -> str:
    if text != text.strip() or text.startswith(_OPEN) or f"<{name}>" in text or f"</{name}>" in text:
        inside = text.replace(_CLOSE, f"]]{_CLOSE}{_OPEN}>")  # the end of a section is divided between two sections
        return f"<{name}>{_OPEN}{inside}{_CLOSE}</{name}>"
    return f"<{name}>\n{text}\n</{name}>" if "\n" in text else f"<{name}>{text}</{name}>"


def _content(message: str, name: str, start: int) -> tuple[str, int]:
    """Return the text of the element whose first tag ends at `start`, and where the element ends.

    Tags of its own name inside it count as text where they come in pairs.
    """
    begins = len(message) - len(message[start:].lstrip())
    if message.startswith(_OPEN, begins):
        return _sections(message, name, begins)
    opening, closing = f"<{name}>", f"</{name}>"
    at, depth = start, 1
    while depth:
        stop = message.find(closing, at)
        if stop < 0:
            raise Unreadable(f"`{opening}` is not closed; {_in_cdata(name)}")
        depth += message.count(opening, at, stop) - 1
        at = stop + len(closing)
    return message[start : at - len(closing)].strip(), at


def _sections(message: str, name: str, start: int) -> tuple[str, int]:
    """Return the text in the CDATA sections that fill an element, and where the element ends."""
    parts: list[str] = []
    at = start
    while message.startswith(_OPEN, at):
        stop = message.find(_CLOSE, at)
        if stop < 0:
            raise Unreadable(f"a CDATA section of `<{name}>` is not closed")
        parts.append(message[at + len(_OPEN) : stop])
        at = stop + len(_CLOSE)
    closing = f"</{name}>"
    end = len(message) - len(message[at:].lstrip())
    if not message.startswith(closing, end):
        raise Unreadable(f"in `<{name}>` there is more than its CDATA section; write all of its text into the section")
    return "".join(parts), end + len(closing)


def _in_cdata(name: str) -> str:
    return f"a text that holds `<{name}>` or `</{name}>` must stand in <![CDATA[...]]>"
