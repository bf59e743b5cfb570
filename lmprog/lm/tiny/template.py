"""The layout that the embedded LM was trained on, from and to the formats of prompts.

    [[ instruction ]] Answer the question from the passages in a few words.
    [[ passages ]] Ada was born in Oslo . Oslo lies on the river Aker .
    [[ question ]] On which river does the birthplace of Ada lie ?
    [[ answer ]]

Demos stand before the question in the same layout, each ended by the end token. It was trained on single lines,
and on passages before the question: so lists come before the other inputs, their items joined by a space, an
empty one as `none`, and line breaks become spaces. Tools, and the turns of a trajectory, stand as in the curriculum of
steps with tools, behind the other inputs:

    [[ tools ]] search(query) : finds a passage . finish(answer) : ends the task .
    [[ trajectory ]] thought : I must find Ada . tool : search args : {"query": "Ada"} observation : Ada was born in Oslo .

 Measured on two-hop questions: 0.99 right in this layout,
0.85 with lists as JSON, 0.22 with the question first.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from lmprog.formats import read, write_reply
from lmprog.formats.conversation import Conversation, no_texts
from lmprog.formats.layout import NO_INPUTS
from lmprog.formats.tools import TRAJECTORY, Told, Turn
from lmprog.request import Request

_BREAK = re.compile(r"\s*[\n\r]\s*")
_NEXT = re.compile(r"\n\[\[ (\S+) \]\]")
"""Where the model begins another output."""

_Demo = tuple[Mapping[str, str], Mapping[str, str]]

TOOLS = "tools"
"""The field in which tools are told."""
PLAIN_INPUT, PLAIN_OUTPUT = "text", "answer"
"""The fields of a conversation that has none, by names that the model was trained on."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request in the model's layout: `head`, each demo and the end token, then the question up to its first output."""

    head: str
    demos: tuple[str, ...]
    question: str
    outputs: tuple[str, ...]
    """The outputs to write, in order."""
    one_by_one: bool
    """Whether each output is to be written under a given name, because the reply before was refused."""
    plain: bool
    """Whether the reply is the bare text."""


def prompt_of(request: Request) -> Prompt:
    """Lay a request out for the model.

    The model cannot use what was wrong with an earlier reply, and at temperature 0 would write it again. What
    it often gets wrong is the name of an output. So a second request leaves the refused reply out, and each
    output is written under a name that is given.
    """
    conversation = read(request.messages)
    asked = [message.text for message in request.messages if message.role == "user"]
    plain = not conversation.inputs and NO_INPUTS not in asked
    demos, inputs = _plain(request) if plain else (conversation.demos, conversation.inputs)
    told = " ".join(map(_told, conversation.tools))
    outputs = (PLAIN_OUTPUT,) if plain else _outputs(request, conversation)
    return Prompt(
        head=f"[[ instruction ]] {one_line(conversation.instruction)}\n" if conversation.instruction.strip() else "",
        demos=tuple(_inputs(asked, told) + _written(said) for asked, said in demos),
        question=_inputs(inputs, told) + heading(outputs[0]),
        outputs=outputs,
        one_by_one=not plain and not conversation.turns[-1][1] and asked[-1] != NO_INPUTS,
        plain=plain,
    )


def heading(output: str) -> str:
    """Return what stands before a value."""
    return f"[[ {output} ]]"


def outputs_in(completion: str, first: str) -> list[tuple[str, str]]:
    """Return (name, value) of the outputs that the model wrote, the first of them under a name that was given."""
    texts = _NEXT.split(completion)
    names = [first, *texts[1::2]]
    return [(name, value.strip()) for name, value in zip(names, texts[::2], strict=True)]


def reply_of(outputs: Iterable[tuple[str, str]], request: Request, *, ended: bool) -> str:
    """Return outputs as a reply in the format of the request, with its end where the model ended by itself."""
    others = no_texts(request.schema)
    typed = [(name, _data(value) if name in others else value) for name, value in outputs]
    return write_reply(typed, request, ended=ended)


def _plain(request: Request) -> tuple[Sequence[_Demo], Mapping[str, str]]:
    """Return a conversation without fields as demos and a question, which is the last thing said."""
    turns = [message for message in request.messages if message.role != "system"]
    demos: list[_Demo] = [
        ({PLAIN_INPUT: asked.text}, {PLAIN_OUTPUT: said.text})
        for asked, said in pairwise(turns)
        if (asked.role, said.role) == ("user", "assistant")
    ]
    return demos, {PLAIN_INPUT: turns[-1].text if turns else ""}


def _outputs(request: Request, conversation: Conversation) -> tuple[str, ...]:
    if request.schema:
        return tuple(json.loads(request.schema)["properties"])
    if conversation.outputs:  # all that is left of a signature in a request that came over HTTP
        return conversation.outputs
    return next((tuple(said) for _, said in reversed(conversation.demos)), (PLAIN_OUTPUT,))


def _inputs(values: Mapping[str, str], told: str = "") -> str:
    """Return the lines of the inputs, lists first; where tools are told, they and what was called stand last."""
    lists = {name: items for name, value in values.items() if (items := _items(value)) is not None}
    texts = {name: " ".join(items) or "none" for name, items in lists.items()}
    texts |= {name: one_line(value) for name, value in values.items() if name not in lists}
    if told:
        called = {TRAJECTORY: texts.pop(TRAJECTORY)} if TRAJECTORY in texts else {}
        texts = {**texts, TOOLS: told, **called}
    return "".join(f"{heading(name)} {text}\n" for name, text in texts.items())


def _told(tool: Told) -> str:
    head, about = f"{tool.name}({', '.join(tool.arguments)})", one_line(tool.about).rstrip(" .")
    return f"{head} : {about} ." if about else f"{head} ."


def _written(values: Mapping[str, str]) -> str:
    return "\n".join(f"{heading(name)} {one_line(value)}" for name, value in values.items())


def _items(value: str) -> list[str] | None:
    """Return the lines of a JSON list's items; None where the value is none."""
    if not value.startswith("["):
        return None
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return [one_line(_item(item)) for item in items]


def _item(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and item.keys() == Turn.model_fields.keys():  # pyright: ignore[reportUnknownMemberType]
        turn = cast("dict[str, Any]", item)
        args = turn["args"] if isinstance(turn["args"], str) else json.dumps(turn["args"], ensure_ascii=False)
        called = f" tool : {turn['tool']} args : {args}" if turn["tool"] else ""
        return f"thought : {turn['thought']}{called} observation : {turn['observation']}"
    return json.dumps(item, ensure_ascii=False)


def one_line(text: str) -> str:
    """Return a text without line breaks, which the model was not trained on."""
    return _BREAK.sub(" ", text.strip())


def _data(value: str) -> object:
    """Return what a value is as JSON; a text where it is none."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
