"""OpenAI's chat completions as data: what a client sends, read into requests; replies, in the form that it expects."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, ValidationError

from lmprog.request import DEFAULT_MAX_TOKENS, LM, Message, Request, Response, Role, ToolCall, ToolSpec

CHOICES_AT_MOST = 128
"""OpenAI's limit."""
SEEDS = 2**32
"""Seeds that differ by a multiple of this are one: `requests_of` says why."""

Json = dict[str, JsonValue]


class Refused(Exception):
    """A request that is answered with an error in OpenAI's form. Never leaves the server."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    def body(self) -> Json:
        """Return it in OpenAI's form."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class Part(BaseModel):
    """A piece of a message."""

    type: str
    text: str | None = None


class Called(BaseModel):
    """The function in a `CallGiven`."""

    name: str
    arguments: str = ""


class CallGiven(BaseModel):
    """A tool call that the assistant made earlier in the conversation."""

    id: str
    function: Called


def _parts(content: object) -> object:
    """Return a message's content as a list: a bare text is a list of one, so that faults are told by their place alone."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [] if content is None else content


def _listed(stop: object) -> object:
    if isinstance(stop, str):
        return [stop]
    return [] if stop is None else stop


class Turn(BaseModel):
    """A message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[list[Part], BeforeValidator(_parts)] = []
    tool_calls: list[CallGiven] | None = None
    tool_call_id: str | None = None


class FunctionOffered(BaseModel):
    """The function in a `ToolOffered`."""

    name: str
    description: str | None = None
    parameters: Json | None = None


class ToolOffered(BaseModel):
    """A tool that the LM may call."""

    type: Literal["function"]
    function: FunctionOffered


class SchemaGiven(BaseModel):
    """What a reply in JSON should look like."""

    json_schema: Json = Field(default={}, alias="schema")


class ResponseFormat(BaseModel):
    """What kind of text the reply should be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaGiven | None = None


class StreamOptions(BaseModel):
    """What a stream holds beside the reply."""

    include_usage: bool = False


class Asked(BaseModel):
    """The body of a request. Fields that are not listed are ignored: `top_p` and penalties among them."""

    model: str
    messages: list[Turn] = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=None, ge=1, le=CHOICES_AT_MOST)
    seed: int | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_listed)] = []
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    tools: list[ToolOffered] | None = None
    tool_choice: JsonValue = None
    functions: JsonValue = None
    logprobs: bool | None = None
    logit_bias: dict[str, float] | None = None


def read_asked(body: bytes) -> Asked:
    """Read the body of a request. Refused, naming the first fault and its place."""
    try:
        return Asked.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise Refused(f"the body is not JSON: {first['msg']}.") from None
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        found = "" if first["type"] == "missing" else f" It is {_shown(first['input'])}."
        raise Refused(f"`{place}`: {first['msg']}.{found}", param=place or None) from None


def requests_of(asked: Asked, lm: LM) -> list[Request]:
    """Return one request for each choice asked for. Refused where the LM cannot do what is asked.

    A reply is a function of the request alone, so each choice is a sample with a number: choice i is sample i.
    With a seed it is another one for each pair of seed and choice, and choice 0 of seed s is sample s. Without a temperature
    it is 0, as everywhere in lmprog.
    """
    _check_parameters(asked, lm)
    first = Request(
        messages=tuple(_message(turn, f"messages[{place}]", lm) for place, turn in enumerate(asked.messages)),
        temperature=asked.temperature or 0.0,
        max_tokens=asked.max_completion_tokens or asked.max_tokens or DEFAULT_MAX_TOKENS,
        schema=_schema(asked.response_format),
        json_reply=_wants_json(asked.response_format),
        tools=tuple(_tool(tool.function) for tool in asked.tools or []) if asked.tool_choice != "none" else (),
    )
    choices = range(asked.n or 1)
    if asked.seed is None:
        return [replace(first, sample=choice) for choice in choices]
    return [replace(first, sample=asked.seed % SEEDS + choice * SEEDS) for choice in choices]


@dataclass(frozen=True, slots=True)
class Completion:
    """Replies, one for each choice, on their way to the client."""

    id: str
    created: int
    """Seconds since 1970."""
    model: str
    replies: tuple[Response, ...]

    @property
    def usage(self) -> Json:
        """Tokens of the prompt, once, and of all choices. What was written behind a stop sequence counts."""
        read, written = self.replies[0].prompt_tokens, sum(reply.completion_tokens for reply in self.replies)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def body(self) -> Json:
        """Return it whole."""
        choices: list[JsonValue] = [
            {"index": index, "message": _said(reply), "logprobs": None, "finish_reason": _finish_reason(reply)}
            for index, reply in enumerate(self.replies)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": self.usage}

    def chunks(self, *, include_usage: bool) -> Iterator[Json]:
        """Return it in pieces of a word each, one choice after another."""
        no_usage_yet: Json = {"usage": None} if include_usage else {}
        head = {**self._head("chat.completion.chunk"), **no_usage_yet}
        for index, reply in enumerate(self.replies):
            for delta in _deltas(reply):
                yield {**head, "choices": [_chunk(index, delta, None)]}
            yield {**head, "choices": [_chunk(index, {}, _finish_reason(reply))]}
        if include_usage:
            yield {**head, "choices": [], "usage": self.usage}

    def _head(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def cut(reply: Response, stops: Sequence[str]) -> Response:
    """Return the reply up to the first stop sequence in it."""
    ends = [at for stop in stops if (at := reply.text.find(stop)) >= 0]
    return replace(reply, text=reply.text[: min(ends)], finish_reason="stop") if ends else reply


def _check_parameters(asked: Asked, lm: LM) -> None:
    choice = asked.tool_choice
    unsupported = {
        "logprobs": (bool(asked.logprobs), "it tells no probabilities"),
        "logit_bias": (bool(asked.logit_bias), "its tokens cannot be made likelier"),
        "functions": (bool(asked.functions), "they are called `tools` now"),
        "tools": (bool(asked.tools) and choice != "none" and "tools" not in lm.capabilities, "it calls none"),
        "tool_choice": (choice not in (None, "auto", "none"), 'it decides itself: send "auto" or "none"'),
        "response_format": (
            _wants_json(asked.response_format) and "constrained" not in lm.capabilities,
            "it cannot be held to JSON",
        ),
    }
    for param, (given, why) in unsupported.items():
        if given:
            raise Refused(
                f"{lm.name} does not support `{param}`: {why}. Leave it out.", code="unsupported_parameter", param=param
            )


def _message(turn: Turn, place: str, lm: LM) -> Message:
    texts: list[str] = []
    for number, part in enumerate(turn.content):
        param = f"{place}.content[{number}]"
        if part.type != "text":
            raise Refused(
                f"`{param}` is of the type {part.type!r}, and {lm.name} reads texts alone. Leave it out, or say in a text "
                f"what is in it.",
                code="unsupported_content",
                param=param,
            )
        if part.text is None:
            raise Refused(f"`{param}.text` is missing.", param=f"{param}.text")
        texts.append(part.text)
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in turn.tool_calls or [])
    role: Role = "system" if turn.role == "developer" else turn.role
    return Message(role, "\n".join(texts), calls, turn.tool_call_id)


def _tool(function: FunctionOffered) -> ToolSpec:
    parameters = function.parameters or {"type": "object", "properties": {}}
    return ToolSpec(function.name, function.description or "", _text_of(parameters))


def _wants_json(wanted: ResponseFormat | None) -> bool:
    return wanted is not None and wanted.type != "text"


def _schema(wanted: ResponseFormat | None) -> str | None:
    if wanted is None or wanted.type != "json_schema":
        return None
    if wanted.json_schema is None:
        raise Refused(
            "`response_format.json_schema` is missing: send the schema, or the type json_object.",
            param="response_format.json_schema",
        )
    return _text_of(wanted.json_schema.json_schema)


def _text_of(schema: Json) -> str:
    """Return a schema as text, its keys as they came: the order of properties is that of the fields to write."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def _said(reply: Response) -> JsonValue:
    calls: Json = {"tool_calls": list(_calls(reply))} if reply.tool_calls else {}
    text = None if reply.tool_calls and not reply.text else reply.text
    return {"role": "assistant", "content": text, "refusal": None, **calls}


def _deltas(reply: Response) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
    for piece in re.findall(r"\s*\S+|\s+$", reply.text):
        yield {"content": piece}
    for index, call in enumerate(_calls(reply)):
        yield {"tool_calls": [{"index": index, **call}]}


def _calls(reply: Response) -> Iterator[Json]:
    for call in reply.tool_calls:
        yield {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _chunk(index: int, delta: Json, finish_reason: str | None) -> JsonValue:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _finish_reason(reply: Response) -> str:
    if reply.tool_calls:
        return "tool_calls"
    return "content_filter" if reply.finish_reason == "other" else reply.finish_reason


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:100]}..."
