"""What a format is, and how a signature is asked in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from lmprog.errors import OutputError
from lmprog.formats.fields import asked_in, encoded, sides, system_text, type_words
from lmprog.formats.tools import TRAJECTORY, Told, Trajectory, described, shortened, tools_in, tools_text
from lmprog.params import Demo, PredictorParams
from lmprog.request import Message, ToolSpec
from lmprog.signature import Field, Fields, Signature, fields_of

NO_INPUTS = "(no inputs)"
"""A user's turn where there is nothing to say: some providers refuse an empty one."""

_CUT_OFF = "it was cut off at the limit of tokens, before the end of its fields"
_SHOWN_AT_MOST = 300


class Unreadable(Exception):
    """A message is not in the layout. Its text says what is wrong, so that an LM can mend it."""


class Asked(NamedTuple):
    """What a system message says."""

    instruction: str
    outputs: tuple[str, ...]
    """Their names."""
    tools: tuple[Told, ...] = ()


class Readable(Protocol):
    """How conversations are read and answered, of our formats and of others. A message is made of pairs of a field's name
    and the text of its value.
    """

    @property
    def sentence(self) -> str:
        """What the system message says about the layout, and is known by."""
        ...

    def asked(self, system: str, /) -> Asked:
        """Return what a system message asks for."""
        ...

    def text(self, data: object, /, *, is_text: bool) -> str:
        """Return the text of JSON data. `is_text`: every value of the field is a string."""
        ...

    def write_reply(self, texts: Iterable[tuple[str, str]], /, *, ended: bool = True) -> str:
        """Return the reply that holds these fields; one that has not `ended` lacks what shows its end."""
        ...

    def fields_in(self, message: str, /) -> dict[str, str]:
        """Return what each field of a whole message says, whatever its name: texts as they are, other values as JSON."""
        ...


class Layout(Readable, Protocol):
    """How a format writes and reads fields."""

    @property
    def json_reply(self) -> bool:
        """Whether a reply is one JSON object of the outputs, and nothing else."""
        ...

    def form(self, outputs: Mapping[str, Field], /) -> str:
        """Return what follows the sentence: how to reply."""
        ...

    def write(self, texts: Iterable[tuple[str, str]], /) -> str:
        """Return the user's message that holds these fields; "" where there are none."""
        ...

    def split(self, message: str, names: Mapping[str, object], /, *, cut_off: bool = False) -> dict[str, str]:
        """Return the texts of the named fields in a message. Unreadable where it does not say beyond doubt what they are."""
        ...

    def value(self, field: Field, text: str, /) -> Any:
        """Return the value that a text from `split` says. ValidationError where it says none of the field's type."""
        ...


class Own:
    """What the layouts of our formats share."""

    sentence: str

    def asked(self, system: str, /) -> Asked:
        """Return what a system message asks for."""
        instruction, outputs, tools = asked_in(system, self.sentence)
        return Asked(instruction, outputs, tools_in(tools))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A signature under fixed params in a layout: system, then two turns for each demo."""

    layout: Layout
    fields: Fields
    prefix: tuple[Message, ...]

    @property
    def schema(self) -> str:
        """JSON schema of the outputs, canonical text."""
        return self.fields.schema

    @property
    def json_reply(self) -> bool:
        """Whether a reply is one JSON object of the schema, and nothing else."""
        return self.layout.json_reply

    def render(self, inputs: Mapping[str, Any], /) -> tuple[Message, ...]:
        """Return the conversation that asks for the outputs."""
        return (*self.prefix, Message("user", question(self.layout, self.fields, encoded(self.fields.inputs, inputs))))

    def render_reply(self, outputs: Mapping[str, Any], /) -> str:
        """Return the reply that holds these outputs."""
        return _reply(self.layout, self.fields, encoded(self.fields.outputs, outputs))

    def parse(self, reply: str, /, *, cut_off: bool = False) -> dict[str, Any]:
        """Return the outputs in a reply. Text around them, and what stands under other names, is ignored."""
        fields = self.fields.outputs
        try:
            texts = self.layout.split(reply, fields, cut_off=cut_off)
            missing = [name for name in fields if name not in texts]
            if missing:
                raise Unreadable(f"{_named(missing)} missing")
        except Unreadable as wrong:
            raise _refused(reply, _CUT_OFF if cut_off else str(wrong)) from None
        return {name: self._value(field, texts[name], reply) for name, field in fields.items()}

    def parse_inputs(self, message: str, /) -> dict[str, Any]:
        """Return the typed inputs that a rendered user message holds."""
        if message == NO_INPUTS:
            return {}
        fields = self.fields.inputs
        try:
            texts = self.layout.split(message, fields)
        except Unreadable as wrong:
            raise _refused(message, str(wrong)) from None
        return {name: self._value(fields[name], text, message) for name, text in texts.items()}

    def _value(self, field: Field, text: str, message: str) -> Any:
        try:
            return self.layout.value(field, text)
        except ValidationError as error:
            shown = text if len(text) <= _SHOWN_AT_MOST else text[:_SHOWN_AT_MOST] + "..."
            reason = (
                f"`{field.name}` should be {type_words(field.schema)}, but is {shown!r} ({error.errors()[0]['msg']})"
            )
            raise _refused(message, reason) from None


def prepare_in(
    layout: Layout, signature: type[Signature], params: PredictorParams, tools: Sequence[ToolSpec]
) -> Prepared:
    """Render what all rows share."""
    fields = fields_of(signature)
    told = tools_text(described(tools, params.field_descriptions))
    prefix = [Message("system", system_text(fields, params, layout.sentence, layout.form(fields.outputs), told))]
    for demo in params.demos:
        inputs, outputs = shown_sides(fields, demo)
        prefix.append(Message("user", question(layout, fields, inputs)))
        prefix.append(Message("assistant", _reply(layout, fields, outputs)))
    return Prepared(layout, fields, tuple(prefix))


def shown_sides(fields: Fields, demo: Demo) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs and outputs of a demo as JSON data, a trajectory with short observations."""
    inputs, outputs = sides(fields, demo)
    known = fields.inputs.get(TRAJECTORY)
    if known is not None and known.annotation == Trajectory and TRAJECTORY in inputs:
        inputs[TRAJECTORY] = shortened(inputs[TRAJECTORY])
    return inputs, outputs


def question(layout: Layout, fields: Fields, data: Mapping[str, Any]) -> str:
    """Return the user's message that holds inputs, given as JSON data."""
    return layout.write(_texts(layout, fields.inputs, data)) or NO_INPUTS


def said_twice(names: Iterable[str]) -> Unreadable:
    """Return the refusal of a message that gives fields more than once."""
    return Unreadable(f"{_named(list(names))} given more than once")


def _named(names: list[str]) -> str:
    quoted = ", ".join(f"`{name}`" for name in names)
    return f"the field {quoted} is" if len(names) == 1 else f"the fields {quoted} are"


def _reply(layout: Layout, fields: Fields, data: Mapping[str, Any]) -> str:
    return layout.write_reply(_texts(layout, fields.outputs, data))


def _texts(layout: Layout, fields: Mapping[str, Field], data: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, layout.text(value, is_text=fields[name].is_text)) for name, value in data.items()]


def _refused(message: str, reason: str) -> OutputError:
    return OutputError(f"the reply does not hold the outputs asked for: {reason}.", raw=message, reason=reason)
