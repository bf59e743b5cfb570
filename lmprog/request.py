"""What goes to an LM and what comes back, and the protocol every LM fulfils."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from inspect import isawaitable
from types import CoroutineType
from typing import Any, Literal, NamedTuple, Protocol, cast

from lmprog.errors import CapabilityError, LMError, LmprogError, UnavailableError

Role = Literal["system", "user", "assistant", "tool"]

Capability = Literal[
    "generate",
    "sample",
    "logprobs",
    "score",
    "constrained",
    "tools",
    "embed",
    "soft_prompt",
    "lora",
    "finetune",
    "input_grads",
]
"""What a block may need of an LM. `generate` writes text; `sample` means that temperature > 0 gives varied replies.

`logprobs` tells the probabilities of what it writes, `score` those of given replies; `lora` answers under adapters
that it knows; `finetune` means that its weights can be tuned, here or where it is hosted.
"""

DEFAULT_MAX_TOKENS = 512
MOST_TOKENS = 2**53
"""No call takes more; up to here a count is a number that can be reckoned with."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that the LM may ask to have called, as it is told to the LM."""

    name: str
    description: str
    parameters: str
    """JSON schema of the arguments, an object, as JSON text; its properties stand in the order of the arguments."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The LM's wish to have a tool called."""

    id: str
    name: str
    arguments: str
    """JSON text as the LM wrote it, which need not be valid."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn: what it asked to have called."""
    tool_call_id: str | None = None
    """Of a tool's turn: the call that it answers."""


@dataclass(frozen=True, slots=True)
class Request:
    """All that decides a reply: equal requests to one LM may share one recorded reply."""

    messages: tuple[Message, ...]
    schema: str | None = None
    """JSON schema of the outputs as canonical JSON text; its properties stand in the order of the fields."""
    temperature: float = 0.0
    max_tokens: int = DEFAULT_MAX_TOKENS
    sample: int = 0
    """Which of several independent samples this is, from 0."""
    weights: str | None = None
    """SHA-256 of the adapter to run under, or None for the LM's own weights."""
    json_reply: bool = False
    """Whether the reply should be one JSON object of `schema`, which an LM that can (`constrained`) makes sure of."""
    tools: tuple[ToolSpec, ...] = ()
    """What the LM may ask to have called; for an LM that has the capability `tools`."""
    logprobs: bool = False
    """Whether the probability of each written token is wanted, too, from an LM that has the capability `logprobs`."""
    replies: tuple[str, ...] = ()
    """Given replies: how probable each is, and no reply of its own, is wanted from an LM that has the capability `score`."""
    lm: str | None = None
    """Spec of the LM that the predictor names for itself. The layers around an LM resolve it: no LM sees it set."""


class TokenLogprob(NamedTuple):
    """A token that an LM wrote, and the natural logarithm of its probability at temperature 1."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Response:
    """A reply and what it cost. Counts of tokens are 0 where the LM does not tell."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: Literal["stop", "length", "other"] = "stop"
    usd: float | None = 0.0
    """What the call cost; None where the LM cannot tell."""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    """Of each written token, where the request wants them; in the LM's own layout, and with the token that ended it."""
    reply_logprobs: tuple[float, ...] | None = None
    """The natural logarithm of the probability of each of the request's `replies`, its end included, at temperature 1."""
    recorded: bool = field(default=False, compare=False)
    """Whether it was served from a record, and not sent."""


class LM(Protocol):
    """A language model, or a layer around one: a name, what it can do, and one async method.

    The call returns the reply, or raises UnavailableError (another attempt may succeed), AuthError,
    ContextError, or LMError for anything else. It is made on lmprog's own event loop.
    """

    @property
    def name(self) -> str:
        """What identifies the model in logs, caches and artifacts. Never holds a key."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model can do."""
        ...

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request."""
        ...


async def answer(lm: LM, request: Request) -> Response:
    """Ask an LM that may be the user's own: LMError where it gives something else than a Response, or raises an error of its own.

    What it raises where it cannot be reached (a ConnectionError, a TimeoutError, any OSError that names no file) becomes an
    UnavailableError, which is waited out.
    """
    try:
        return await _answered(lm, request)
    except LmprogError:
        raise
    except Exception as error:
        raised = f"the LM {lm.name} raised {type(error).__name__}"
        if isinstance(error, OSError) and error.filename is None:
            raise UnavailableError(f"{raised}: {error}") from error
        what = f"{raised}: {error}. What it answered before is kept. It should raise lp.UnavailableError where to try again helps."
        raise LMError(what, unshown=f"{raised}.") from error


class Checked:
    """The layer right around a client that may be the user's own: see `answer`."""

    def __init__(self, lm: LM) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm = lm

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request."""
        return await answer(self._lm, request)


async def _answered(lm: LM, request: Request) -> Response:
    given = cast("object", lm(request))
    if not isinstance(given, CoroutineType) and not isawaitable(given):
        raise LMError(
            f"the LM {lm.name} returned {_shown(given)} at once: write `async def __call__(self, request)`, which returns "
            f"lp.Response(text)."
        )
    response = await cast("Awaitable[object]", given)
    if not isinstance(response, Response):
        raise LMError(f"the LM {lm.name} returned {_shown(response)}: return lp.Response(text), with the reply's text.")
    check_response(f"the LM {lm.name} returned", response)
    return response


def check_response(source: str, response: Response) -> None:
    """Raise LMError where the text is none, or a figure none that an account can hold: it would credit a cap, or never fit one."""
    if not isinstance(cast("object", response.text), str):
        raise LMError(f"{source} a Response whose text is {_shown(response.text)}: give it a str.")
    for count in (response.prompt_tokens, response.completion_tokens):
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            name = "prompt_tokens" if count is response.prompt_tokens else "completion_tokens"
            raise LMError(
                f"{source} a Response whose {name} is {_shown(count)}: give an int from 0 on, and 0 where it is "
                "not known."
            )
    usd = cast("object", response.usd)
    if usd is not None and (isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd < math.inf):
        raise LMError(
            f"{source} a Response whose usd is {_shown(usd)}: give what the call cost, a number from 0 on, and "
            "None where it is not known."
        )


async def score(lm: LM, request: Request, texts: Sequence[str]) -> list[float]:
    """Return the natural logarithm of the probability of each text as the reply to a request. One call, for all of them.

    CapabilityError where the LM cannot tell.
    """
    if "score" not in lm.capabilities:
        raise CapabilityError(
            f"{lm.name} cannot tell how probable a given reply is: it has the capabilities {sorted(lm.capabilities)}, and this "
            'needs "score". Use an LM that runs here, such as "tiny".'
        )
    if not texts:
        return []
    logprobs = (await answer(lm, replace(request, replies=tuple(texts)))).reply_logprobs or ()
    if len(logprobs) != len(texts):
        raise LMError(
            f"the LM {lm.name} gave {len(logprobs)} probabilities for {len(texts)} replies: give one for each."
        )
    return list(logprobs)


def _shown(value: object) -> str:
    return "None" if value is None else f"{_written(value)[:100]} of type {type(value).__name__}"


def _written(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # of an int with thousands of digits
        return "a number"


def canonical_json(value: object) -> str:
    """Return JSON text that is equal for equal values: sorted keys, no spaces, UTF-8 characters as they are."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_json(text: str | bytes) -> Any:
    """Return JSON data, or raise ValueError; so, too, where it is nested deeper than Python follows."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


class InexactError(ValueError):
    """JSON from which Python would read something else than it says."""


def repeated(members: Sequence[tuple[str, Any]]) -> list[str]:
    """Return the names that stand there more than once."""
    return [name for name, times in Counter(name for name, _ in members).items() if times > 1]


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(members)
    if len(data) < len(members):
        raise InexactError(f"`{repeated(members)[0]}` is given more than once in one object")
    return data


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InexactError(f"{digits[:20]}{'...' * (len(digits) > 20)} is beyond what a number can be")
    return number


_EXACT, _WITH_LINE_BREAKS = (
    json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, strict=strict) for strict in (True, False)
)


def read_exactly(text: str, *, strict: bool = True) -> Any:
    """Return JSON data of others as `read_json` does; InexactError, a ValueError, where a name is given twice in one object,
    or a number with a fraction or an exponent is too large for Python. NaN and Infinity are read, as Python writes them. Without `strict` line breaks may stand in texts as they are.
    """
    try:
        return (_EXACT if strict else _WITH_LINE_BREAKS).decode(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def request_key(lm_name: str, request: Request) -> str:
    """Return the SHA-256 (hex) under which a request's reply is recorded.

    Of the texts JSON holds only the lengths; they follow as they are, since escaping them would take most of the time.
    """
    start, end = _around(
        lm_name,
        request.schema,
        request.temperature,
        request.max_tokens,
        request.sample,
        request.weights,
        request.json_reply,
        request.tools,
        request.logprobs,
        request.replies,
    )
    messages = request.messages
    turns = ",".join(
        [
            _turn(message) if message.tool_calls or message.tool_call_id else f'["{message.role}",{len(message.text)}]'
            for message in messages
        ]
    )
    texts = "".join([message.text for message in messages])
    return hashlib.sha256(f"{start}{turns}{end}\n{texts}".encode(errors="surrogatepass")).hexdigest()


@lru_cache(typed=True)  # 0 and 0.0 are two texts
def _around(
    lm_name: str,
    schema: str | None,
    temperature: float,
    max_tokens: int,
    sample: int,
    weights: str | None,
    json_reply: bool,
    tools: tuple[ToolSpec, ...],
    logprobs: bool,
    replies: tuple[str, ...],
) -> tuple[str, str]:
    """Return what stands before and after the turns: the same for all rows."""
    settings: list[object] = [schema, temperature, max_tokens, sample, weights]
    asks_more = bool(logprobs or replies)
    if json_reply or tools or asks_more:
        settings += [json_reply, [[tool.name, tool.description, tool.parameters] for tool in tools]]
    if asks_more:
        settings += [logprobs, replies]
    return f"[{canonical_json(lm_name)},[", f"],{canonical_json(settings)}]"


def _turn(message: Message) -> str:
    calls = [[call.id, call.name, call.arguments] for call in message.tool_calls]
    return canonical_json([message.role, len(message.text), message.tool_call_id, calls])
