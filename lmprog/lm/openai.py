"""The client of every server that speaks OpenAI's chat completions."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from lmprog import loop
from lmprog.errors import AuthError, CapabilityError, LMError, UnavailableError
from lmprog.lm import wire
from lmprog.lm.refusals import Lessons, Refusal, read_refusal
from lmprog.request import Capability, Request, Response
from lmprog.secrets import HIDDEN, keep_secret, names_a_secret, redact

PREFIX = "openai/"
BASE_URL = "https://api.openai.com/v1"
KEY, BASE, OTHER_KEY = "OPENAI_API_KEY", "OPENAI_BASE_URL", "LMPROG_API_KEY"
CAPABILITIES: frozenset[Capability] = frozenset({"generate", "sample", "constrained", "tools"})
TIMEOUT_S = 600.0
LISTING_S = 5.0
LISTED_AT_MOST = 10


class OpenAI:
    """A model behind an OpenAI-compatible server: OpenAI, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter, Together, ...

    `lp.OpenAI("gpt-5-mini")` asks OpenAI, or the server that OPENAI_BASE_URL names, with the key in OPENAI_API_KEY;
    `lp.OpenAI("llama3.2", base_url="http://localhost:11434/v1")` asks any other, with `api_key` only where given: no
    key of the environment is sent to a host that it was not made for. A call makes one HTTP request, or one more for
    each setting that the server turns out not to take (`max_tokens`, a temperature, a seed, a schema): that is
    remembered and logged. There are no other retries here and no limit of calls in flight: both are the layers' around it.

    A sample beyond the first has its index for a `seed`; no seed is sent else. `timeout_s` is for a whole call.
    `extra_body` goes into each request as it is, `{"reasoning_effort": "low"}` for example, and so into the LM's
    name as a fingerprint, since replies depend on it; `headers` are sent with it.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, object] | None = None,
        capabilities: frozenset[Capability] = CAPABILITIES,
    ) -> None:
        self._model = model
        self._base_url = _checked(base_url or os.environ.get(BASE) or BASE_URL)
        of_openai = self._base_url == BASE_URL
        self._key = _clean(api_key or (os.environ.get(KEY, "") if of_openai or not base_url else ""))
        if of_openai and not self._key:
            raise AuthError(
                f"OpenAI wants a key for {model!r}: set the environment variable {KEY}, or write "
                f'lp.OpenAI({model!r}, api_key=...). For another server: lp.OpenAI({model!r}, base_url="http://HOST/v1").'
            )
        self._where = (
            f"check {KEY}"
            if not base_url or of_openai
            else f"give `api_key`, or set {OTHER_KEY} where the LM is named by its URL"
        )
        self._headers = _headers(self._key, headers or {})
        self._timeout_s = timeout_s
        self._extra_body = dict(extra_body or {})
        name = f"{PREFIX}{model}" if of_openai else f"{self._base_url}#{model}"
        self.name = wire.with_fingerprint(name, self._extra_body)
        self.capabilities = capabilities
        self._limits = wire.LIMITS[::-1] if of_openai else wire.LIMITS
        self._lessons = Lessons(self.name)

    def __repr__(self) -> str:
        return f"OpenAI({self._model!r}, base_url={self._base_url!r})"

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request. CapabilityError where it needs what this LM does not do."""
        if request.weights is not None:
            raise CapabilityError(
                f"{self.name} takes no adapters: it cannot answer under {request.weights!r}. Use an LM with the capability "
                '"lora", or params without weights.'
            )
        if request.tools and "tools" not in self.capabilities:
            raise CapabilityError(f'{self.name} was made without the capability "tools", and the request has some.')
        return await loop.hop(self._answer(request))

    async def _answer(self, request: Request) -> Response:
        while True:
            body = wire.body_of(request, self._model, self._limits, self._lessons.refused) | self._extra_body
            answer = await self._send("POST", "chat/completions", wire.encoded(body), self._timeout_s)
            if answer.status == 200:
                return self._read(answer.body)
            refusal = read_refusal(answer)
            if not self._lessons.learn(refusal, request, body.keys() - self._extra_body.keys()):
                return await self._refusal(refusal, request)

    async def _send(self, method: Literal["GET", "POST"], path: str, body: bytes, timeout_s: float) -> wire.Answer:
        from lmprog.lm.http import send  # loads aiohttp, which takes longer than all the rest of lmprog

        return await send(method, f"{self._base_url}/{path}", self._headers, body, timeout_s=timeout_s)

    def _read(self, raw: bytes) -> Response:
        """Read a reply. What it holds is recorded, so the key, should a server echo it, is hidden first."""
        if self._key and self._key.encode() in raw:
            raw = redact(raw.decode(errors="replace")).encode()
        try:
            return wire.response_of(raw)
        except UnavailableError as error:
            raise UnavailableError(f"{self.name} sent {error}.") from None
        except LMError as error:
            raise LMError(
                f"{self.name} sent {error}. Is {self._base_url} the base URL? It often ends in /v1."
            ) from None

    async def _refusal(self, refusal: Refusal, request: Request) -> Response:
        """Raise what a refusal means, or return the reply that it stands for."""
        hint = ""
        if refusal.kind == "key":
            hint = f"{'The key that was sent is refused' if self._key else 'No key was sent'}: {self._where}."
        elif refusal.kind == "missing":
            hint = await self._what_there_is()
        meaning = refusal.meaning(self.name, request, hint)
        if isinstance(meaning, Response):
            return meaning
        raise meaning

    async def _what_there_is(self) -> str:
        """Return what to write instead of a model or URL that does not exist."""
        try:
            listed = await self._send("GET", "models", b"", LISTING_S)
        except LMError:
            listed = None
        names = wire.models_in(listed.body) if listed else []
        if not names:
            return f"Check the URL {self._base_url}, which often ends in /v1, and the model {self._model!r}."
        near = get_close_matches(self._model, names, LISTED_AT_MOST, cutoff=0.0)
        more = f", and {len(names) - len(near)} others" if len(names) > len(near) else ""
        return f"The server has the models {', '.join(near)}{more}."


def from_spec(spec: str) -> OpenAI:
    """Return the client that "openai/MODEL" or "http://HOST/v1#MODEL" names: one for a spec and a key, so that all roles
    share what it has learned of the server. LMError where the spec is incomplete, AuthError where OpenAI's key is missing.
    """
    if spec.startswith(PREFIX):
        return _shared(spec.removeprefix(PREFIX), None, None, os.environ.get(BASE), os.environ.get(KEY))
    base_url, _, model = spec.partition("#")
    if not model:
        raise LMError(f'{_without_password(spec)!r} names no model. Write it behind the URL: "http://HOST/v1#MODEL".')
    return _shared(model, base_url, os.environ.get(OTHER_KEY), os.environ.get(KEY))


@cache
def _shared(model: str, base_url: str | None, api_key: str | None, *_environment: str | None) -> OpenAI:
    return OpenAI(model, base_url=base_url, api_key=api_key)


def _checked(base_url: str) -> str:
    """Return the URL without a slash at its end. LMError where it is none that requests can be sent to."""
    right = f'Write the base URL of the server, such as "http://localhost:8000/v1" or "{BASE_URL}"'
    safe = _without_password(base_url)
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable or not base_url.isprintable() or " " in base_url:
        raise LMError(f"{safe!r} is no URL of a server. {right}.")
    if parts.username is not None or parts.password is not None:
        raise LMError(
            f"{safe!r} holds a user name or a password, which would stand in logs. {right}, and give a key as `api_key`."
        )
    if parts.query or parts.fragment or "?" in base_url:
        raise LMError(f"{safe!r} goes on after its path. {right}; settings belong into `extra_body` or `headers`.")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise LMError(
            f'{safe!r} is the URL of one endpoint. Write "{safe.removesuffix("/").removesuffix("/chat/completions")}".'
        )
    return base_url.rstrip("/")


def _without_password(url: str) -> str:
    return re.sub(r"//[^/]*@", f"//{HIDDEN}@", url)


def _headers(key: str, more: Mapping[str, str]) -> dict[str, str]:
    for name, value in more.items():
        if name.lower() == "authorization" or names_a_secret(name.replace("-", "_")):
            keep_secret(value.rpartition(" ")[2])
    own = {"Content-Type": "application/json", "User-Agent": "lmprog"}
    return own | ({"Authorization": f"Bearer {key}"} if key else {}) | dict(more)


def _clean(key: str) -> str:
    """Return a key without the line break it may have been pasted with, noted as a secret."""
    key = key.strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise AuthError(
            "the API key holds spaces or characters that no key has: was something else pasted in its place?"
        )
    keep_secret(key)
    return key
