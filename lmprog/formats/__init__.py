"""Formats: how a predictor's call becomes messages, and a reply becomes outputs. Pure functions, one format a file."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from lmprog.formats import chat, conversation, dspy, json, xml
from lmprog.formats.conversation import Conversation
from lmprog.formats.layout import Layout, Readable, prepare_in
from lmprog.formats.native import Native, prepare_native
from lmprog.params import FormatName, PredictorParams
from lmprog.request import Message, Request, ToolSpec
from lmprog.signature import Signature

_LAYOUTS: Mapping[FormatName, Layout] = {"chat": chat.Chat(), "json": json.Json(), "xml": xml.Xml()}
_READABLE: Sequence[Readable] = [*_LAYOUTS.values(), dspy.DspyChat(), dspy.DspyJson()]


class Template(Protocol):
    """A signature under fixed params, ready to ask with: what is the same for all rows is rendered already."""

    @property
    def schema(self) -> str:
        """JSON schema of the outputs, canonical text."""
        ...

    @property
    def json_reply(self) -> bool:
        """Whether a reply is one JSON object of the schema, and nothing else."""
        ...

    def render(self, inputs: Mapping[str, Any], /) -> tuple[Message, ...]:
        """Return the conversation that asks for the outputs. `inputs` are typed values."""
        ...

    def render_reply(self, outputs: Mapping[str, Any], /) -> str:
        """Return the reply that holds these outputs, as an LM should write it."""
        ...

    def parse(self, reply: str, /, *, cut_off: bool = False) -> dict[str, Any]:
        """Return the typed outputs in a reply, or raise OutputError saying what is wrong with it."""
        ...

    def parse_inputs(self, message: str, /) -> dict[str, Any]:
        """Return the typed inputs that a rendered user message holds."""
        ...


def prepare(signature: type[Signature], params: PredictorParams, tools: Sequence[ToolSpec] = ()) -> Template:
    """Return the template of a signature in the format that its params name, with tools told in the prompt."""
    return prepare_in(_LAYOUTS[params.format], signature, params, tools)


def prepare_calls(signature: type[Signature], params: PredictorParams, tools: Sequence[ToolSpec]) -> Native:
    """Return the template of a step that calls a tool, for an LM that has tools itself."""
    return prepare_native(_LAYOUTS[params.format], signature, params, tools)


def read(messages: Sequence[Message]) -> Conversation:
    """Take a rendered conversation apart, whatever format it is in."""
    return conversation.read(messages, _READABLE)


def write_reply(outputs: Iterable[tuple[str, object]], request: Request, *, ended: bool = True) -> str:
    """Return the reply to a request that holds these outputs: strings as texts, other JSON data as it is.

    It is in the format of the request, and reads back equal. One that has not `ended` lacks what shows its end.
    """
    layout = conversation.layout_of(request.messages, _READABLE)
    return conversation.write_reply(layout, outputs, request.schema, ended=ended)
