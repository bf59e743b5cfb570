"""`lmprog lm serve`: an LM as a server that speaks OpenAI's chat protocol."""

import hmac
import ipaddress
import json
import math
import shlex
import socket
import time
import uuid
from asyncio import FIRST_COMPLETED, ensure_future, wait
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from errno import EADDRINUSE
from typing import Any, TypeVar

from lmprog.completions import Completion, Json, Refused, cut, read_asked, requests_of
from lmprog.errors import AuthError, CapabilityError, ContextError, InputError, LmprogError, UnavailableError
from lmprog.lm.specs import from_spec
from lmprog.loop import gather, hop
from lmprog.request import LM, answer
from lmprog.secrets import keep_secret, redact

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
    from starlette.requests import Request as Received
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.responses import Response as Sent
    from starlette.routing import Route
except ImportError as error:
    raise InputError(f"the server needs {error.name}, which is not installed: pip install 'lmprog[serve]'") from error

T = TypeVar("T")

KEY = "LMPROG_SERVE_KEY"
KEEP_ALIVE_S = 75
"""Longer than clients keep a connection that they do not use, so that none is closed under a request."""
LAST_REPLIES_S = 5
"""How long replies under way may take once the server is told to end."""
CLIENT_GONE = 499
"""Status of an answer that nobody reads."""
NOT_AGAIN = {"x-should-retry": "false"}
"""Tells the openai client that another attempt would fail as well."""


def serve(lm: LM | str, *, host: str = "127.0.0.1", port: int = 8000, key: str | None = None) -> None:
    """Answer OpenAI's chat protocol with an LM until Ctrl-C, and say on standard output where and how.

    Port 0 is any free one. InputError where the port cannot be had.
    """
    application = app(lm, key=key)
    config = uvicorn.Config(
        application,
        lifespan="off",
        ws="none",
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_REPLIES_S,
    )
    with _listening(host, port) as listener:
        try:
            for line in _welcome(lm if isinstance(lm, str) else lm.name, listener, keyed=key is not None):
                print(line, flush=True)
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            print("stopped", flush=True)


def app(lm: LM | str, *, key: str | None = None) -> Starlette:
    """Return the server of an LM, or of the LM that a spec names, as an ASGI application.

    Clients may call the model by its spec or by its full name. With a `key`, they have to send it.
    Several requests at once reach the LM at once. Each is tried once: to retry is up to the client.
    A stream begins when the reply is written, and has it in pieces: an LM gives a reply as a whole.
    """
    if key is not None and not key.strip():
        raise InputError(
            f"the key is empty. Leave it out for a server that needs none, or set {KEY} to a long random text."
        )
    if key is not None:
        keep_secret(key)
    client = from_spec(lm)
    server = _Server(client, tuple(dict.fromkeys([lm if isinstance(lm, str) else client.name, client.name])), key)
    return Starlette(
        routes=[
            Route("/health", server.health),
            Route("/v1/models", server.models),
            Route("/v1/models/{name:path}", server.model),
            Route("/v1/chat/completions", server.complete, methods=["POST"]),
        ],
        exception_handlers={
            Refused: _refusal,
            LmprogError: _failure,
            HTTPException: _misdirected,
            ClientDisconnect: _nobody,
            Exception: _bug,
        },
    )


class _Server:
    """What the requests of one server have in common."""

    def __init__(self, lm: LM, names: tuple[str, ...], key: str | None) -> None:
        self._lm, self._names, self._key = lm, names, key
        self._began = int(time.time())

    async def health(self, _received: Received) -> Sent:
        """Say that the server answers; needs no key."""
        return JSONResponse({"status": "ok", "model": self._lm.name})

    async def models(self, received: Received) -> Sent:
        """List the names of the model."""
        self._check_key(received)
        return JSONResponse({"object": "list", "data": [self._described(name) for name in self._names]})

    async def model(self, received: Received) -> Sent:
        """Describe the model of a name."""
        self._check_key(received)
        return JSONResponse(self._described(self._known(received.path_params["name"])))

    async def complete(self, received: Received) -> Sent:
        """Answer a conversation. A client that goes away takes its work with it."""
        self._check_key(received)
        _check_type(received)
        asked = read_asked(await received.body())
        self._known(asked.model)
        calls = [answer(self._lm, request) for request in requests_of(asked, self._lm)]
        replies = await _unless_gone(received, hop(gather(calls)))
        if replies is None:
            return Sent(status_code=CLIENT_GONE)
        completion = Completion(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self._lm.name,
            replies=tuple(cut(reply, asked.stop) for reply in replies),
        )
        if not asked.stream:
            return JSONResponse(completion.body())
        include_usage = asked.stream_options is not None and asked.stream_options.include_usage
        events = _events(completion.chunks(include_usage=include_usage))
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})

    def _check_key(self, received: Received) -> None:
        if self._key is None:
            return
        scheme, _, given = received.headers.get("authorization", "").partition(" ")
        sent = given.strip().encode("latin-1")  # the bytes that came
        if scheme.lower() != "bearer" or not hmac.compare_digest(sent, self._key.encode()):
            what = "is not the one that this server was started with" if given else "is missing"
            raise Refused(
                f"the key {what}. Send it as `Authorization: Bearer KEY`; the openai client does so with its `api_key`.",
                status=401,
                code="invalid_api_key",
            )

    def _known(self, name: str) -> str:
        if name not in self._names:
            there_are = " and ".join(repr(known) for known in self._names)
            raise Refused(
                f"there is no model {name!r} here. There is {there_are}.",
                status=404,
                code="model_not_found",
                param="model",
            )
        return name

    def _described(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": self._began, "owned_by": "lmprog"}


def _check_type(received: Received) -> None:
    """Refuse what a web page of another origin can send without asking: it might spend the user's money."""
    said = received.headers.get("content-type", "")
    if said.partition(";")[0].strip().lower() != "application/json":
        raise Refused(
            f"the content type is {said!r}. Send JSON with the header `content-type: application/json`.", status=415
        )


async def _unless_gone(received: Received, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what the work gives. None where the client goes away first: then the work is cancelled."""
    working, watching = ensure_future(work), ensure_future(_gone(received))
    try:
        await wait([working, watching], return_when=FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        watching.cancel()


async def _gone(received: Received) -> None:
    while (await received.receive())["type"] != "http.disconnect":
        pass


async def _events(chunks: Iterable[Json]) -> AsyncIterator[str]:
    for chunk in chunks:
        yield f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n"
    yield "data: [DONE]\n\n"


async def _refusal(_received: Received, error: Exception) -> Sent:
    assert isinstance(error, Refused)
    return _sent(error, {"www-authenticate": "Bearer"} if error.status == 401 else None)


async def _failure(_received: Received, error: Exception) -> Sent:
    """Answer with what the LM raised."""
    text = redact(str(error))
    match error:
        case ContextError():
            return _sent(Refused(text, code="context_length_exceeded", param="messages"))
        case CapabilityError():
            return _sent(Refused(text, code="unsupported_parameter"))
        case UnavailableError(retry_after_s=wait_s):
            after = None if wait_s is None else {"retry-after": str(math.ceil(wait_s))}
            return _sent(Refused(text, status=503, code="lm_unavailable"), after)
        case AuthError():
            why = f"the LM behind this server refused the server's own key, not yours: {text}"
            return _sent(Refused(why, status=502, code="lm_key_refused"), NOT_AGAIN)
        case _:
            return _sent(Refused(text, status=502, code="lm_error"), NOT_AGAIN)


async def _misdirected(received: Received, error: Exception) -> Sent:
    """Answer a path or method that there is not."""
    assert isinstance(error, HTTPException)
    text = (
        f"there is no {received.method} {received.url.path} here. There are POST /v1/chat/completions, GET /v1/models, "
        "GET /v1/models/NAME and GET /health: a client's base URL ends in /v1."
    )
    return _sent(Refused(text, status=error.status_code, code="unknown_url"), error.headers)


async def _nobody(_received: Received, _error: Exception) -> Sent:
    return Sent(status_code=CLIENT_GONE)


async def _bug(_received: Received, error: Exception) -> Sent:
    """Answer with what should not have happened; the server's log has its traceback."""
    text = f"the server failed: {type(error).__name__}. Its log says where."
    return _sent(Refused(text, status=500, code="server_error"), NOT_AGAIN)


def _sent(refused: Refused, headers: Mapping[str, str] | None = None) -> Sent:
    return JSONResponse(refused.body(), refused.status, headers)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0].lower()
        instead = (
            "--port 0 for any free port" if error.errno == EADDRINUSE else "--host 127.0.0.1 for this machine alone"
        )
        raise InputError(f"cannot listen on port {port} of {host}: {why}. Write {instead}.") from None


def _welcome(name: str, listener: socket.socket, *, keyed: bool) -> Iterable[str]:
    """Yield what to say at the start."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    near = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else str(host)
    base = f"http://{f'[{near}]' if ':' in near else near}:{port}/v1"
    yield f"{name} answers OpenAI's chat protocol on {base} ({'with the key' if keyed else 'no key needed'}); Ctrl-C ends it"
    header = f' -H "authorization: Bearer ${KEY}"' if keyed else ""
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is the plural of dog ?"}]})
    yield f"try it:  curl {base}/chat/completions{header} -H 'content-type: application/json' -d {shlex.quote(body)}"
    if not address.is_loopback and not keyed:
        yield f"anyone who reaches port {port} of this machine can use it: set {KEY} to ask for a key"
