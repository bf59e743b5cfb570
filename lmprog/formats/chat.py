"""The chat format: fields under their names in double square brackets.

    [[ question ]]
    Where was Ada born?

    [[ passages ]]
    [
    "Ada was born in Oslo."
    ]

A reply has the same layout and ends with `[[ end of fields ]]`. A text is shown as it is, unless the layout
could not carry it (it holds a line that looks like a field's name, or space at its ends, or is itself a quoted
JSON string): then it stands as a JSON string. All other values are JSON. So every value reads back exactly.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from lmprog.errors import OutputError
from lmprog.params import Demo, PredictorParams
from lmprog.request import Message, canonical_json
from lmprog.signature import Field, Signature, fields_of

END = "[[ end of fields ]]"
LAYOUT = "Each field is its name in double square brackets on a line of its own, with the value below."
"""The sentence that parts the instruction and the fields from the rules of the layout."""

NO_INPUTS = "(no inputs)"
"""A user's turn where there is nothing to say: some providers refuse an empty one."""

_MARKER = re.compile(r"^\[\[ (\S+|end of fields) \]\]", re.MULTILINE)  # \w would miss the vowel signs of many scripts
_FENCE = re.compile(r"^```\w*\s*\n(.*)\n```$", re.DOTALL)
_PLAIN = re.compile(r'[^\s,"]([^,"\n\r]*[^\s,"])?')
"""A choice that needs no quotes to stand in a list with commas."""
_SHOWN_AT_MOST = 300


@dataclass(frozen=True, slots=True)
class Chat:
    """A signature under fixed params, as chat messages: system, then two turns for each demo."""

    signature: type[Signature]
    prefix: tuple[Message, ...]

    @staticmethod
    def prepare(signature: type[Signature], params: PredictorParams) -> "Chat":
        """Render what all rows share."""
        system = Message("system", _system(signature, params))
        turns = [message for demo in params.demos for message in _demo_turns(signature, demo)]
        return Chat(signature, (system, *turns))

    @property
    def schema(self) -> str:
        """JSON schema of the outputs, canonical text."""
        return fields_of(self.signature).schema

    @property
    def json_reply(self) -> bool:
        """No: a reply is text with marked fields."""
        return False

    def render(self, inputs: Mapping[str, Any], /) -> tuple[Message, ...]:
        """Return the conversation that asks for the outputs."""
        fields = fields_of(self.signature).inputs
        return (*self.prefix, Message("user", _write(fields, _encoded(fields, inputs)) or NO_INPUTS))

    def render_reply(self, outputs: Mapping[str, Any], /) -> str:
        """Return the reply that holds these outputs."""
        fields = fields_of(self.signature).outputs
        return _write_reply(fields, _encoded(fields, outputs))

    def parse(self, reply: str, /, *, cut_off: bool = False) -> dict[str, Any]:
        """Return the outputs in a reply. Text before the first field and after the end is ignored."""
        fields = fields_of(self.signature).outputs
        if cut_off and not any(mark[0] == END for mark in _MARKER.finditer(reply)):
            raise _wrong(reply, "it was cut off at the limit of tokens, before the end of its fields")
        texts = _read_once(reply, fields)
        missing = [f"`{name}`" for name in fields if name not in texts]
        if missing:
            raise _wrong(reply, f"the field {', '.join(missing)} is missing")
        return {name: _read(field, texts[name], reply) for name, field in fields.items()}

    def parse_inputs(self, message: str, /) -> dict[str, Any]:
        """Return the typed inputs that a rendered user message holds."""
        fields = fields_of(self.signature).inputs
        return {name: _read(fields[name], text, message) for name, text in _read_once(message, fields).items()}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What an LM is asked, taken from the messages again: for LMs that have a layout of their own, and for scripts."""

    instruction: str
    turns: tuple[tuple[str, Mapping[str, str]], ...]
    """(role, text of each value by field) for the demos, the question and what followed, in order."""

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


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Take a rendered conversation apart. A message without fields gives a turn without values."""
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    turns = [
        (message.role, {name: text_of(text) for name, text in read_fields(message.text)})
        for message in messages
        if message.role != "system"
    ]
    return Conversation(instruction_in(system), tuple(turns))


def read_fields(text: str, names: Mapping[str, object] | None = None) -> list[tuple[str, str]]:
    """Return (name, text of the value) for each field in a message, in order; of the given names only, where given.

    A line that names no known field belongs to the value around it. Nothing after the end marker counts.
    """
    marks = [m for m in _MARKER.finditer(text) if names is None or m[1] in names or m[0] == END]
    ends = [i for i, mark in enumerate(marks) if mark[0] == END]
    stop = ends[0] if ends else len(marks)
    starts = [*(mark.start() for mark in marks), len(text)]
    return [(mark[1], text[mark.end() : starts[i + 1]].strip()) for i, mark in enumerate(marks[:stop])]


def instruction_in(system: str) -> str:
    """Return the instruction in a system message of this format; a message of another layout is all instruction."""
    head, found, _ = system.rpartition(LAYOUT)
    if not found:
        return system.strip()
    for section in ("\n\nOutput fields:\n", "\n\nInput fields:\n"):
        before, cut, _ = head.rpartition(section)
        head = before if cut else head
    return head.strip()


def text_of(value: str) -> str:
    """Return what a value's text says: a JSON string without its quotes, anything else as it stands."""
    if value.startswith('"') and value.endswith('"') and len(value) > 1:
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value


def _system(signature: type[Signature], params: PredictorParams) -> str:
    fields, said = fields_of(signature), params.field_descriptions
    inputs = [_describe(field, said) for field in fields.inputs.values()]
    outputs = [_describe(field, said) for field in fields.outputs.values()]
    blocks = [f"[[ {name} ]]\n<{type_words(field.schema)}>" for name, field in fields.outputs.items()]
    layout = f"{LAYOUT} Reply with every output field in that layout, and nothing else:"
    sections = ["Input fields:\n" + "\n".join(inputs or ["none"]), "Output fields:\n" + "\n".join(outputs)]
    return "\n\n".join([params.instruction, *sections, layout, *blocks, END])


def _describe(field: Field, said: Mapping[str, str]) -> str:
    desc = said.get(field.name, field.desc)
    line = f"- {field.name} ({type_words(field.schema)})" + (f": {desc}" if desc else "")
    return line.replace("\n", "\n  ")  # so that no line of a description passes for the title of a section


_SCALARS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
_BOUNDS = {
    "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than",
    "minLength": "length at least", "maxLength": "length at most", "minItems": "at least", "maxItems": "at most",
    "pattern": "matching", "format": "format",
}  # fmt: skip


def type_words(schema: Mapping[str, Any]) -> str:
    """Return in words what a JSON schema asks for."""
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        plain = all(isinstance(v, str) and _PLAIN.fullmatch(v) for v in values)
        return "one of: " + ", ".join(v if plain else json.dumps(v, ensure_ascii=False) for v in values)
    if set(schema) - {"title", "description", "default"} == {"anyOf"}:
        return " or ".join(type_words(part) for part in schema["anyOf"])
    bounds = "".join(f", {words} {schema[name]}" for name, words in _BOUNDS.items() if name in schema)
    kind = schema.get("type")
    if kind in _SCALARS:
        return _SCALARS[kind] + bounds
    items = schema.get("items")
    if kind == "array" and items and items.get("type") in _SCALARS and "enum" not in items:
        return f"JSON list, each {type_words(items)}" + bounds
    return f"JSON of this schema: {json.dumps(schema, ensure_ascii=False)}"


def _demo_turns(signature: type[Signature], demo: Demo) -> tuple[Message, Message]:
    fields = fields_of(signature)
    inputs, outputs = _in_order(fields.inputs, demo.inputs), _in_order(fields.outputs, demo.outputs)
    return Message("user", _write(fields.inputs, inputs) or NO_INPUTS), Message(
        "assistant", _write_reply(fields.outputs, outputs)
    )


def _in_order(fields: Mapping[str, Field], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a demo's data in the order of the types, so that equal params say the same, read from a file or not."""
    return {
        name: field.encode(field.adapter.validate_json(canonical_json(data[name])))
        for name, field in fields.items()
        if name in data
    }


def _encoded(fields: Mapping[str, Field], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: field.encode(values[name]) for name, field in fields.items() if name in values}


def _write(fields: Mapping[str, Field], data: Mapping[str, Any]) -> str:
    return "\n\n".join(f"[[ {name} ]]\n{_write_value(fields[name], value)}" for name, value in data.items())


def _write_reply(fields: Mapping[str, Field], data: Mapping[str, Any]) -> str:
    return f"{_write(fields, data)}\n\n{END}"


def _write_value(field: Field, data: Any) -> str:
    if field.is_text and isinstance(data, str):
        plain = data == data.strip() and not _MARKER.search(data) and text_of(data) == data
        return data if plain else json.dumps(data, ensure_ascii=False)
    if isinstance(data, list) and len(data) > 1:  # pyright: ignore[reportUnknownArgumentType]
        return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in data) + "\n]"  # pyright: ignore[reportUnknownVariableType]
    return json.dumps(data, ensure_ascii=False)


def _read_once(text: str, fields: Mapping[str, Field]) -> dict[str, str]:
    found = read_fields(text, fields)
    names = [name for name, _ in found]
    double = [f"`{name}`" for name in fields if names.count(name) > 1]
    if double:
        raise _wrong(text, f"the field {', '.join(double)} is given more than once")
    return dict(found)


def _read(field: Field, text: str, whole: str) -> Any:
    try:
        if field.is_text:
            return field.decode(text_of(text))
        try:
            fenced = _FENCE.match(text)
            return field.adapter.validate_json(fenced[1] if fenced else text)
        except ValidationError:
            if field.schema.get("type") in {"array", "object"}:
                raise
            return field.decode(text)  # "yes" for true, or a text where text is one of the types
    except ValidationError as error:
        shown = text if len(text) <= _SHOWN_AT_MOST else text[:_SHOWN_AT_MOST] + "..."
        raise _wrong(
            whole, f"`{field.name}` should be {type_words(field.schema)}, but is {shown!r} ({error.errors()[0]['msg']})"
        ) from None


def _wrong(reply: str, reason: str) -> OutputError:
    return OutputError(f"the reply does not hold the outputs asked for: {reason}.", raw=reply, reason=reason)
