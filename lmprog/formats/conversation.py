"""Rendered conversations taken apart again: for LMs that have a layout of their own, and for scripts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lmprog.formats import native
from lmprog.formats.layout import Readable
from lmprog.formats.tools import Told
from lmprog.request import Message


@dataclass(frozen=True, slots=True)
class Conversation:
    """What an LM is asked, taken from the messages again."""

    instruction: str
    outputs: tuple[str, ...]
    """The names of the outputs that the system message asks for."""
    turns: tuple[tuple[str, Mapping[str, str]], ...]
    """(role, text of each value by field) for the demos, the question and what followed, in order."""
    tools: tuple[Told, ...] = ()
    """What the system message tells of tools; an LM that has tools itself is told of them in the request."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """The values of the question: the last user turn that has fields."""
        return dict(self.turns[self._question :][:1]).get("user", {})

    @property
    def demos(self) -> tuple[tuple[Mapping[str, str], Mapping[str, str]], ...]:
        """The worked examples: every user turn before the question that an assistant turn with fields answers."""
        before = self.turns[: self._question]
        return tuple(
            (asked, said) for (a, asked), (b, said) in pairwise(before) if (a, b) == ("user", "assistant") and said
        )

    @property
    def _question(self) -> int:
        """The place of the question among the turns: after it come only replies that were refused, and why."""
        asked = [place for place, (role, _) in enumerate(self.turns) if role == "user"]
        with_fields = [place for place in asked if self.turns[place][1]]
        return max(with_fields or asked, default=0)


def read(messages: Sequence[Message], layouts: Sequence[Readable]) -> Conversation:
    """Take a conversation in one of the layouts apart. A message without fields gives a turn without values."""
    layout, system = layout_of(messages, layouts), _system(messages)
    asked = layout.asked(system)
    if native.is_native(system):
        turns = list(native.turns_in(messages, layout.fields_in))
    else:
        turns = [(message.role, layout.fields_in(message.text)) for message in messages if message.role != "system"]
    return Conversation(asked.instruction, asked.outputs, tuple(turns), asked.tools)


def layout_of(messages: Sequence[Message], layouts: Sequence[Readable]) -> Readable:
    """Return the layout that the system message names last, since an instruction may quote any; else the first."""
    system = _system(messages)
    return max(layouts, key=lambda layout: system.rfind(layout.sentence))


def write_reply(
    layout: Readable, outputs: Iterable[tuple[str, object]], schema: str | None, *, ended: bool = True
) -> str:
    """Return a reply with these outputs: strings as texts, other JSON data as it is. `schema` is that of the request."""
    others = no_texts(schema)
    texts = [(name, layout.text(data, is_text=name not in others)) for name, data in outputs]
    return layout.write_reply(texts, ended=ended)


@lru_cache(256)
def no_texts(schema: str | None) -> frozenset[str]:
    """Return the outputs that, by the schema of a request, may hold anything else than texts."""
    outputs: Mapping[str, Mapping[str, object]] = json.loads(schema)["properties"] if schema else {}
    return frozenset(name for name, output in outputs.items() if output.get("type") != "string")


def _system(messages: Sequence[Message]) -> str:
    return "\n\n".join(message.text for message in messages if message.role == "system")
