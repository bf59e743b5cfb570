"""The client of every server that speaks OpenAI's chat completions."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmprog import loop
from lmprog.errors import ArtifactError, AuthError, CapabilityError, LMError, UnavailableError
from lmprog.lm import wire
from lmprog.lm.refusals import Lessons, Refusal, read_refusal
from lmprog.request import Capability, Request, Response, canonical_json, read_json
from lmprog.secrets import HIDDEN, keep_secret, keep_secrets_in, may_have_keys, named_by_user, redact

PREFIX = "openai/"
BASE_URL = "https://api.openai.com/v1"
KEY, BASE, OTHER_KEY = "OPENAI_API_KEY", "OPENAI_BASE_URL", "LMPROG_API_KEY"
CAPABILITIES: frozenset[Capability] = frozenset({"generate", "sample", "constrained", "tools", "lora", "finetune"})
TIMEOUT_S = 600.0
LISTING_S = 5.0
LISTED_AT_MOST = 10


class TunedModel(BaseModel):
    """What stands for an adapter where a model is tuned at its host: the name under which the host serves it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    model: str = Field(min_length=1)
    base: str
    """The LM that it was tuned from."""
    job: str
    trained_tokens: int = Field(ge=0)

    def to_bytes(self) -> bytes:
        """Return the file: equal models give equal bytes."""
        return canonical_json(self.model_dump()).encode()

    @staticmethod
    def of(content: bytes, where: str) -> "TunedModel":
        """Return what a file says, or raise ArtifactError."""
        try:
            return TunedModel.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"])) or "all of it"
            raise ArtifactError(
                f"{where} names no model tuned at its host ({place}: {fault['msg']}). It is a JSON file such as "
                '{"base":"openai/gpt-4o-mini","job":"ftjob-1","model":"ft:gpt-4o-mini:org::1","trained_tokens":1000}.'
            ) from None


class OpenAI:
    """A model behind an OpenAI-compatible server: OpenAI, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter, Together, ...

    `lp.OpenAI("gpt-5-mini")` asks OpenAI, or the server that OPENAI_BASE_URL names, with the key in OPENAI_API_KEY;
    `lp.OpenAI("llama3.2", base_url="http://localhost:11434/v1")` asks any other, with `api_key` only where given: no
    key of the environment is sent to a host that it was not made for. A call makes one HTTP request, or one more for
    each setting that the server turns out not to take (`max_tokens`, a temperature, a seed, a schema): that is
    remembered and logged. There are no other retries here and no limit of calls in flight: both are the layers' around it.

    Where the host has OpenAI's API for fine-tuning, the model can be tuned there (`optimizer="finetune"`), and answers under
    weights that are a tuned model of this base: an adapter here is a small file that names it. A sample beyond the first has its index for a `seed`; no seed is sent else. `timeout_s` is for a whole call.
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
        self.model = model
        """The model's name at its server."""
        self.base_url = _checked(base_url or os.environ.get(BASE) or BASE_URL)
        of_openai = self.base_url == BASE_URL
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
        name = f"{PREFIX}{model}" if of_openai else f"{self.base_url}#{model}"
        self.name = wire.with_fingerprint(name, self._extra_body)
        self.capabilities = capabilities
        self._limits = wire.LIMITS[::-1] if of_openai else wire.LIMITS
        self._lessons = Lessons(self.name)
        self._models: dict[str, str] = {}
        """The names of tuned models, by the SHA-256 of the files that hold them."""

    def __repr__(self) -> str:
        return f"OpenAI({self.model!r}, base_url={self.base_url!r})"

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request. CapabilityError where it needs what this LM does not do."""
        self.check(request)
        model = self.model if request.weights is None else self._tuned(request.weights)
        return await loop.hop(self._answer(request, model))

    def check(self, request: Request) -> None:
        """Raise CapabilityError where a request needs what this LM does not do, whatever the weights."""
        if request.tools and "tools" not in self.capabilities:
            raise CapabilityError(f'{self.name} was made without the capability "tools", and the request has some.')

    def add_adapter(self, path: Path | str) -> str:
        """Make a tuned model known by the file of it from an artifact, and return the SHA-256 by which `Request.weights` names it.

        ArtifactError where the file names none, or one that was tuned from another LM.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}. Name a file from an artifact.") from None
        tuned = TunedModel.of(content, str(path))
        if tuned.base != self.name:
            raise ArtifactError(f"{path} names a model that was tuned from {tuned.base}, and the LM is {self.name}.")
        from lmprog.lm import adapters  # loads numpy, which a client needs for nothing else

        return adapters.keep(content, self.name, where=str(path))

    async def answer_as(self, request: Request, model: str) -> Response | Refusal:
        """Have another model of the server answer a request, or return what the server says in place of a reply. On lmprog's loop."""
        while True:
            body = wire.body_of(request, model, self._limits, self._lessons.refused) | self._extra_body
            answer = await self._send("POST", "chat/completions", wire.encoded(body), self._timeout_s)
            if answer.status == 200:
                return self._read(answer.body)
            refusal = read_refusal(answer)
            if not self._lessons.learn(refusal, request, body.keys() - self._extra_body.keys()):
                return refusal

    async def api(
        self, method: Literal["GET", "POST"], path: str, data: wire.Json | None = None
    ) -> wire.Json | Refusal:
        """Ask another endpoint of the server once: return the object that it answers, or what it says in place of one.

        On lmprog's loop. UnavailableError where no answer came.
        """
        body = b"" if data is None else wire.encoded(data)
        return self._object(await self._send(method, path, body, self._timeout_s))

    async def tell(self, path: str, data: wire.Json) -> Refusal | None:
        """Have the server do something: return None where it has, whatever it says of it, or what it says where it has not."""
        answer = await self._send("POST", path, wire.encoded(data), self._timeout_s)
        return None if 200 <= answer.status < 300 else read_refusal(answer)

    async def upload(self, name: str, content: bytes, **fields: str) -> wire.Json | Refusal:
        """Give the server a file; as `api`."""
        from lmprog.lm.http import upload

        url = f"{self.base_url}/files"
        return self._object(await upload(url, self._headers, fields, name, content, timeout_s=self._timeout_s))

    def error_of(self, refusal: Refusal) -> LMError:
        """Return the error that a refusal of another endpoint than that of chats means."""
        said = f"{self.name} answered {refusal.status}: {refusal.message or 'nothing'}".rstrip(".") + "."
        match refusal.kind:
            case "later":
                return UnavailableError(said, retry_after_s=refusal.retry_after_s, refused=refusal.status == 429)
            case "key":
                return AuthError(f"{said} {self._about_key}")
            case _:
                return LMError(said)

    async def refused(self, refusal: Refusal, request: Request, model: str) -> Response:
        """Raise what a refusal to answer means, or return the reply that it stands for."""
        hint = ""
        if refusal.kind == "key":
            hint = self._about_key
        elif refusal.kind == "missing":
            hint = await self._what_there_is(model)
        meaning = refusal.meaning(self.name, request, hint)
        if isinstance(meaning, Response):
            return meaning
        raise meaning

    async def _answer(self, request: Request, model: str) -> Response:
        found = await self.answer_as(request, model)
        return await self.refused(found, request, model) if isinstance(found, Refusal) else found

    def _tuned(self, sha256: str) -> str:
        """Return the name under which the host serves a tuned model that is known."""
        found = self._models.get(sha256)
        if found is None:
            from lmprog.lm import adapters  # loads numpy, which a client needs for nothing else

            adapters.check(sha256, self.name)
            found = TunedModel.of(adapters.content_of(sha256), f"the adapter with the SHA-256 {sha256!r}").model
            self._models[sha256] = found
        return found

    def _object(self, answer: wire.Answer) -> wire.Json | Refusal:
        raw = self._without_key(answer.body)
        if 200 <= answer.status < 300:
            try:
                found: object = read_json(raw)
            except ValueError:
                found = None
            if isinstance(found, dict):
                return cast("dict[str, Any]", found)
        return read_refusal(wire.Answer(answer.status, answer.headers, raw))

    async def _send(self, method: Literal["GET", "POST"], path: str, body: bytes, timeout_s: float) -> wire.Answer:
        from lmprog.lm.http import send  # loads aiohttp, which takes longer than all the rest of lmprog

        return await send(method, f"{self.base_url}/{path}", self._headers, body, timeout_s=timeout_s)

    def _read(self, raw: bytes) -> Response:
        """Read a reply."""
        try:
            response = wire.response_of(self._without_key(raw))
        except UnavailableError as error:
            raise UnavailableError(f"{self.name} sent {error}.") from None
        except LMError as error:
            raise LMError(f"{self.name} sent {error}. Is {self.base_url} the base URL? It often ends in /v1.") from None
        said = (response.text, *(call.arguments for call in response.tool_calls))
        if self._key and any(self._key in text for text in said):  # it was written with escapes
            calls = tuple(replace(call, arguments=redact(call.arguments)) for call in response.tool_calls)
            response = replace(response, text=redact(response.text), tool_calls=calls)
        return response

    def _without_key(self, raw: bytes) -> bytes:
        """Return a body that is going to be recorded; the key, should a server echo it, is hidden."""
        if self._key and self._key.encode() in raw:
            return redact(raw.decode(errors="replace")).encode()
        return raw

    @property
    def _about_key(self) -> str:
        return f"{'The key that was sent is refused' if self._key else 'No key was sent'}: {self._where}."

    async def _what_there_is(self, model: str) -> str:
        """Return what to write instead of a model or URL that does not exist."""
        try:
            listed = await self._send("GET", "models", b"", LISTING_S)
        except LMError:
            listed = None
        names = wire.models_in(listed.body) if listed else []
        if not names:
            return f"Check the URL {self.base_url}, which often ends in /v1, and the model {model!r}."
        near = get_close_matches(model, names, LISTED_AT_MOST, cutoff=0.0)
        more = f", and {len(names) - len(near)} others" if len(names) > len(near) else ""
        return f"The server has the models {', '.join(map(wire.shown, near))}{more}."


def from_spec(spec: str) -> OpenAI:
    """Return the client that "openai/MODEL" or "http://HOST/v1#MODEL" names: one for a spec and a key, so that all roles
    share what it has learned of the server. LMError where the spec is incomplete, AuthError where OpenAI's key is missing.
    """
    if spec.startswith(PREFIX):
        return _shared(spec.removeprefix(PREFIX), None, None, os.environ.get(BASE), os.environ.get(KEY))
    base_url, _, model = spec.partition("#")
    if not model:
        raise LMError(f'{_without_password(spec)!r} names no model. Write it behind the URL: "http://HOST/v1#MODEL".')
    return _shared(model, base_url, other_key(base_url), os.environ.get(KEY))


def other_key(base_url: str) -> str | None:
    """Return the key in LMPROG_API_KEY, where it may be sent to this server; it may from then on."""
    if not may_have_keys(base_url):
        return None
    named_by_user(base_url)
    return os.environ.get(OTHER_KEY)


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
    keep_secrets_in(more)
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
