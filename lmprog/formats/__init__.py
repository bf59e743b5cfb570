"""Formats: how a predictor's call becomes messages, and a reply becomes outputs. Pure functions, one format a file."""

from collections.abc import Mapping
from typing import Any, Protocol

from lmprog.formats import chat
from lmprog.params import PredictorParams
from lmprog.request import Message
from lmprog.signature import Signature


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


def prepare(signature: type[Signature], params: PredictorParams) -> Template:
    """Return the template of a signature in the format that its params name."""
    return chat.Chat.prepare(signature, params)
