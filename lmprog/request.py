"""What goes to an LM and what comes back, and the protocol every LM fulfils."""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]

Capability = Literal[
    "generate", "sample", "logprobs", "score", "constrained", "tools", "embed", "soft_prompt", "lora", "input_grads"
]
"""What a block may need of an LM. `generate` writes text; `sample` means that temperature > 0 gives varied replies."""

DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


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


@dataclass(frozen=True, slots=True)
class Response:
    """A reply and what it cost. Counts are 0 where the LM does not tell."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: Literal["stop", "length", "other"] = "stop"
    usd: float = 0.0


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


def canonical_json(value: object) -> str:
    """Return JSON text that is equal for equal values: sorted keys, no spaces, UTF-8 characters as they are."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def request_key(lm_name: str, request: Request) -> str:
    """Return the SHA-256 (hex) under which a request's reply is recorded.

    Of the texts JSON holds only the lengths; they follow as they are, since escaping them would take most of the time.
    """
    turns = [[message.role, len(message.text)] for message in request.messages]
    settings = [request.schema, request.temperature, request.max_tokens, request.sample, request.weights]
    texts = "".join([message.text for message in request.messages])
    head = canonical_json([lm_name, turns, settings])
    return hashlib.sha256(f"{head}\n{texts}".encode(errors="surrogatepass")).hexdigest()
