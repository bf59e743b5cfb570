"""Requests as OpenAI's chat completions have them, and replies read back. Pure functions."""

import hashlib
import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticSerializationError, to_json

from lmprog.errors import LMError, UnavailableError
from lmprog.escapes import escaped
from lmprog.request import MOST_TOKENS, Message, Request, Response, ToolCall, ToolSpec, canonical_json, read_json
from lmprog.secrets import redact

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


TEMPERATURE, SEED = "temperature", "seed"
LIMITS = ("max_tokens", "max_completion_tokens")
"""The older name of the limit, which servers other than OpenAI's know, and the one that OpenAI's newer models insist on."""

_SHOWN_AT_MOST = 200


def body_of(request: Request, model: str, limits: tuple[str, ...] = LIMITS, without: Set[str] = frozenset()) -> Json:
    """Return a request's body. `without` holds what the server is known to refuse: settings by name, and schemas.

    `limits` are the names to try for the limit of tokens. A sample has its index for a seed: so the first is drawn
    without one, each further one differs from it even where a gateway keeps replies, and servers that honour seeds
    give the same sample again.
    """
    body: Json = {"model": model, "messages": messages_of(request)}
    if TEMPERATURE not in without:
        body[TEMPERATURE] = request.temperature
    for name in [name for name in limits if name not in without][:1]:
        body[name] = request.max_tokens
    if request.sample and request.temperature and SEED not in without:
        body[SEED] = request.sample
    if request.json_reply and request.schema and request.schema not in without:
        body["response_format"] = response_format(request.schema)
    if request.tools:
        body["tools"] = tools_of(request.tools)
    return body


def encoded(body: Json) -> bytes:
    """Return a body as JSON text. Half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    try:
        return to_json(body)
    except PydanticSerializationError:
        return _text(body).encode(errors="replace")


def with_fingerprint(name: str, settings: Mapping[str, object]) -> str:
    """Return the name of an LM whose replies depend on further settings, of which only a fingerprint shows."""
    if not settings:
        return name
    try:
        return f"{name}+{hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:8]}"
    except TypeError as error:
        raise LMError(f"the settings {', '.join(settings)} of {name} are no JSON: {error}.") from None


def messages_of(request: Request) -> list[Json]:
    """Return the conversation."""
    return [
        _turn(message)
        if message.tool_calls or message.tool_call_id
        else {"role": message.role, "content": message.text}
        for message in request.messages
    ]


@lru_cache
def tools_of(tools: tuple[ToolSpec, ...]) -> list[Json]:
    """Return the tools, which are functions to OpenAI."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.parameters)},
        }
        for tool in tools
    ]


@lru_cache
def response_format(schema: str) -> Json:
    """Return what makes a reply JSON of a schema: strictly where OpenAI's strict mode knows all that the schema uses."""
    whole = json.loads(schema)
    try:
        strict: Json = {"strict": True, "schema": _strict(whole)}
    except _NotStrict:
        strict = {"strict": False, "schema": whole}
    return {"type": "json_schema", "json_schema": {"name": "outputs", **strict}}


def response_of(raw: bytes) -> Response:
    """Return the reply in a body that came with status 200.

    UnavailableError where it broke off, or where the provider failed and says so in a body only; LMError where it is
    something else than a chat completion.
    """
    completion = _read(raw)
    if completion.error is not None:
        raise UnavailableError(f"status 200 with the error {shown(_text(completion.error))}")
    if completion.choices is None:
        raise LMError(f"no chat completion but {shown(raw.decode(errors='replace'))}")
    if not completion.choices:
        raise UnavailableError("a reply without choices")
    choice, usage = completion.choices[0], completion.usage or _Usage()
    if choice.error is not None:
        raise UnavailableError(f"a reply that failed: {shown(_text(choice.error))}")
    return Response(
        text=choice.message.text(),
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        finish_reason=finish_reason(choice.finish_reason, refused=choice.message.refusal is not None),
        usd=usage.cost,
        tool_calls=tuple(call.read(place) for place, call in enumerate(choice.message.tool_calls or ())),
    )


def models_in(raw: bytes) -> list[str]:
    """Return the names in a list of models; none where it is no such list."""
    try:
        return [model.id for model in _Models.model_validate_json(raw).data]
    except ValidationError:
        return []


def finish_reason(said: str | None, *, refused: bool = False) -> Literal["stop", "length", "other"]:
    """Return why a reply ended; an unfinished or filtered one ended for another reason than that it was complete."""
    if said == "length":
        return "length"
    return "stop" if said in _COMPLETE and not refused else "other"


_COMPLETE = {"stop", "tool_calls", "function_call", "eos", None}
"""`eos` is what some servers of open models say; others say nothing."""


def shown(text: str, at_most: int = _SHOWN_AT_MOST) -> str:
    """Return a provider's text in one line, without keys, cut where it is long."""
    flat = escaped(redact(" ".join(text.split())))
    return flat if len(flat) <= at_most else flat[:at_most] + "..."


class _Wire(BaseModel):
    model_config = ConfigDict(defer_build=True)  # until a reply comes: `import lmprog` need not wait for it


class _Part(_Wire):
    text: str | None = None


class _Function(_Wire):
    name: str
    arguments: str | dict[str, Any] | None = None


class _Call(_Wire):
    id: str | None = None
    function: _Function

    def read(self, place: int) -> ToolCall:
        given = self.function.arguments
        return ToolCall(
            self.id or f"call_{place}", self.function.name, given if isinstance(given, str) else _text(given or {})
        )


class _Said(_Wire):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None

    def text(self) -> str:
        """Return the text; that of a refusal where the model refuses, which holds no outputs and is judged as such."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or self.refusal or ""


class _Choice(_Wire):
    message: _Said = _Said()
    finish_reason: str | None = None
    error: Any = None
    """OpenRouter tells here of a provider that failed midway."""


def _if_sound(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """Take a figure that cannot be for one that was not told: the reply is there, and was paid for."""
    try:
        return check(value)
    except ValidationError:
        return None


_Count = Annotated[int | None, Field(ge=0, le=MOST_TOKENS), WrapValidator(_if_sound)]


class _Usage(_Wire):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    cost: Annotated[float | None, Field(ge=0, allow_inf_nan=False), WrapValidator(_if_sound)] = None
    """In US dollars; OpenRouter tells it."""


class _Completion(_Wire):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Model(_Wire):
    id: str


class _Models(_Wire):
    data: list[_Model]


_HALF = re.compile(r"[\ud800-\udfff]")


def _read(raw: bytes) -> _Completion:
    try:
        return _Completion.model_validate_json(raw)
    except ValidationError:
        pass
    try:
        data = read_json(raw)
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError) and error.reason != "unexpected end of data":
            raise LMError(f"no UTF-8 but {shown(raw.decode(errors='backslashreplace'))}") from None
        if raw.strip()[:1] in (b"", b"{") and isinstance(error, UnicodeDecodeError | json.JSONDecodeError):
            raise UnavailableError(f"a reply that broke off after {len(raw)} bytes") from None
        raise LMError(f"no JSON but {shown(raw.decode(errors='replace'))}") from None
    text = _HALF.sub("\ufffd", _text(data)).encode()  # json reads halves of surrogate pairs, which pydantic does not
    try:
        return _Completion.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise LMError(f"no chat completion ({place}: {first['msg']}) but {shown(text.decode())}") from None


def _text(data: object) -> str:
    return json.dumps(data, ensure_ascii=False)


def _turn(message: Message) -> Json:
    turn: Json = {"role": message.role, "content": message.text or (None if message.tool_calls else "")}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


class _NotStrict(Exception):
    """A schema that OpenAI's strict mode does not take."""


_BOUNDS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems",
)  # fmt: skip
_FORMATS = {"date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_SCALARS = {"string", "integer", "number", "boolean", "null"}


def _strict(schema: Mapping[str, Any]) -> Json:
    """Return a schema that strict mode takes. Bounds that it does not know are left out: replies are validated anyway."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    kept: Json = {name: schema[name] for name in ("type", "enum", "const", "description", *_BOUNDS) if name in schema}
    if schema.get("format") in _FORMATS:
        kept["format"] = schema["format"]
    choices, kind = schema.get("anyOf") or schema.get("oneOf"), schema.get("type")
    if choices:
        kept["anyOf"] = [_strict(choice) for choice in choices]
    elif kind == "object" and "properties" in schema and not schema.get("additionalProperties"):
        properties = {name: _strict(part) for name, part in schema["properties"].items()}
        kept |= {"properties": properties, "required": list(properties), "additionalProperties": False}
    elif kind == "array" and isinstance(schema.get("items"), dict) and "prefixItems" not in schema:
        kept["items"] = _strict(schema["items"])
    elif kind not in _SCALARS:
        raise _NotStrict
    if "$defs" in schema:
        kept["$defs"] = {name: _strict(part) for name, part in schema["$defs"].items()}
    return kept
