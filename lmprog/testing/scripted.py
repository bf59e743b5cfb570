"""An LM whose replies you write."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lmprog.formats import read, write_reply
from lmprog.formats.conversation import Conversation
from lmprog.formats.native import reply_of as calling
from lmprog.formats.tools import ARGUMENTS, THOUGHT, TOOL
from lmprog.request import Capability, Request, Response


@dataclass(frozen=True, slots=True)
class Asked:
    """What a predictor asks, as a script sees it."""

    request: Request
    conversation: Conversation

    @property
    def instruction(self) -> str:
        """The predictor's instruction."""
        return self.conversation.instruction

    @property
    def inputs(self) -> Mapping[str, str]:
        """The text of each input; lists and numbers as JSON text."""
        return self.conversation.inputs

    @property
    def demos(self) -> tuple[tuple[Mapping[str, str], Mapping[str, str]], ...]:
        """The worked examples, as (inputs, outputs)."""
        return self.conversation.demos

    @property
    def tools(self) -> Mapping[str, str]:
        """The description of each tool that may be called, wherever it is told."""
        if self.request.tools:
            return {tool.name: tool.description for tool in self.request.tools}
        return {tool.name: tool.about for tool in self.conversation.tools}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs asked for."""
        if self.request.tools and self.conversation.outputs == (THOUGHT,):
            return THOUGHT, TOOL, ARGUMENTS
        schema = self.request.schema
        return tuple(json.loads(schema)["properties"]) if schema else self.conversation.outputs


Answer = str | Response | Mapping[str, Any]
Handler = Callable[[Asked], Answer | Awaitable[Answer]]


class ScriptedLM:
    """A real LM whose replies you write: `ScriptedLM(lambda asked: {"answer": "42"})`.

    The handler gets what is asked and returns outputs by name, a raw reply, or a Response, or raises; it may be
    async. With the capability "tools" the outputs of a step that calls one become a call. `latency_s` is waited before
    each reply. `sent` counts the calls, `in_flight` and `most_in_flight` those at once.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        name: str = "scripted",
        latency_s: float = 0.0,
        capabilities: frozenset[Capability] = frozenset({"generate", "sample"}),
    ) -> None:
        self.name, self.capabilities = name, capabilities
        self._handler, self._latency_s = handler, latency_s
        self.sent = self.in_flight = self.most_in_flight = 0

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request as the script says."""
        self.sent += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            answer = self._handler(Asked(request, read(request.messages)))
            return _response(request, await answer if inspect.isawaitable(answer) else answer)
        finally:
            self.in_flight -= 1


def reply(outputs: Mapping[str, Any], request: Request | None = None) -> str:
    """Return the text of a reply that holds these outputs: strings as texts, other JSON data as it is.

    It is in the format that the request is in, and without one in the chat format.
    """
    return write_reply(outputs.items(), request or Request(()))


def _response(request: Request, answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    if request.tools and isinstance(answer, Mapping) and TOOL in answer:
        said = calling(answer)
        return replace(said, prompt_tokens=_words(request), completion_tokens=len(said.text.split()))
    text = answer if isinstance(answer, str) else reply(answer, request)
    return Response(text, prompt_tokens=_words(request), completion_tokens=len(text.split()))


def _words(request: Request) -> int:
    return sum(len(message.text.split()) for message in request.messages)
