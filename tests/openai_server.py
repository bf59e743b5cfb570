"""A server that speaks OpenAI's chat completions, for tests and benchmarks: real HTTP, in a process of its own.

    python tests/openai_server.py --port 8080 --latency 0.05 --answers planted

prints its base URL and answers until it is stopped. Its replies follow from the request alone: `default` fits the
outputs of any lmprog program; `planted` is right more often where an instruction says "twice", and with demos, on the
rows of `planted_rows()`; FILE.py:NAME is a handler as `lmprog.testing.ScriptedLM` takes it, not async.

    POST /set     settings by name (class Settings); `scenes`: what the next chat requests get instead of a reply
    POST /reset   settings as at the start; no scenes, nothing counted
    GET  /counts  what came: see class Counts

In a test: `with serving() as server: lp.OpenAI("some-model", base_url=server.url)`.
"""

import argparse
import asyncio
import hashlib
import http.client
import json
import re
import ssl
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from runpy import run_path
from typing import Any, cast
from urllib.parse import urlsplit

from openai_answers import default, planted
from pydantic_core import from_json, to_json

from lmprog.formats import read
from lmprog.formats.conversation import Conversation
from lmprog.formats.native import reply_of
from lmprog.formats.tools import TOOL
from lmprog.request import Message, Request, Response, ToolCall, ToolSpec
from lmprog.testing import Answer, Asked, reply

Json = dict[str, Any]
Answers = Callable[[Asked], Answer]

KEPT = 500
"""So many of the last requests are kept for tests to look at."""
MODEL = "some-model"


@dataclass(frozen=True)
class Settings:
    """How the server behaves."""

    latency_s: float = 0.0
    key: str | None = None
    """The only key that it takes; any, or none, where it is None."""
    models: Sequence[str] | None = None
    """The models that it has; all, where it is None."""
    refuses: Sequence[str] = ()
    """Fields of a request that it refuses with OpenAI's words: max_tokens, response_format, tools ..."""
    context_tokens: int | None = None
    """A longer request is refused with OpenAI's words. Four bytes are a token."""


@dataclass(frozen=True)
class Scene:
    """What one request gets instead of a reply; what is left out is as in a reply."""

    status: int = 200
    body: str | Json | list[Json] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    wait_s: float | None = None
    cut: int | None = None
    """Only so many bytes of the answer are sent before the connection is closed; negative: all but so many."""


@dataclass
class Counts:
    """What came since the start, or the last reset."""

    total: int = 0
    """Chat requests."""
    by_body: Counter[str] = field(default_factory=Counter[str])
    """How often each body came, by its SHA-256."""
    connections: int = 0
    """Connections made."""
    open: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    abandoned: int = 0
    """Requests whose connection was closed before their answer was sent."""
    requests: Sequence[Json] = ()
    """The last ones, oldest first: `line`, `headers` by lower-case name, `body`."""


class Refused(Exception):
    """Answered with an error in OpenAI's form."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


class Chat:
    """The server, less its connections."""

    def __init__(self, settings: Settings, answers: Answers) -> None:
        self._start, self._answers = settings, answers
        self.settings, self.counts = settings, Counts()
        self._scenes, self._kept = deque[Scene](), deque[tuple[bytes, bytes]](maxlen=KEPT)

    def _reset(self) -> None:
        self.settings = self._start
        self.counts = Counts(open=self.counts.open, in_flight=self.counts.in_flight)
        self._scenes.clear()
        self._kept.clear()

    def respond(self, head: bytes, body: bytes) -> tuple[bytes, Scene | None]:
        """Return the bytes that answer a request, and the scene for it, if it is a chat request."""
        method, target, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        path = urlsplit(target).path
        match method, path.rpartition(b"/v1")[2]:
            case b"POST", b"/chat/completions":
                return self._chat(head, body)
            case b"GET", b"/models":
                listed = [{"id": model, "object": "model"} for model in self.settings.models or [MODEL]]
                return _http(200, {"object": "list", "data": listed}), None
            case b"GET", b"/counts":
                return _http(200, asdict(self._counted()) | {"by_body": dict(self.counts.by_body)}), None
            case b"POST", b"/reset":
                self._reset()
            case b"POST", b"/set":
                given = json.loads(body)
                self._scenes.extend(Scene(**scene) for scene in given.pop("scenes", []))
                self.settings = replace(self.settings, **given)
            case _:
                return _http(404, {"detail": "Not Found"}), None
        return _http(200, {}), None

    def _chat(self, head: bytes, body: bytes) -> tuple[bytes, Scene]:
        self.counts.total += 1
        self.counts.by_body[hashlib.sha256(body).hexdigest()] += 1
        self._kept.append((head, body))
        scene = self._scenes.popleft() if self._scenes else Scene()
        if scene.status != 200 or scene.body is not None:
            return _http(scene.status, scene.body if scene.body is not None else {}, scene.headers), scene
        try:
            data = from_json(body)
            self._check(head, body, data)
            return _http(200, _completion(data["model"], _tokens(body), self._said(data)), scene.headers), scene
        except Refused as refused:
            return _http(refused.status, refused.body, scene.headers), scene

    def _check(self, head: bytes, body: bytes, data: Json) -> None:
        settings, model = self.settings, data["model"]
        if settings.key is not None:
            given = _headers(head).get("authorization", "").removeprefix("Bearer ")
            if given != settings.key:
                raise Refused(401, f"Incorrect API key provided: {given or 'none'}.", code="invalid_api_key")
        if settings.models is not None and model not in settings.models:
            raise Refused(404, f"The model `{model}` does not exist.", code="model_not_found")
        for param in [param for param in settings.refuses if param in data]:
            raise Refused(
                400,
                f"Unsupported parameter: '{param}' is not supported with this model.",
                code="unsupported_parameter",
                param=param,
            )
        _check_calls(data["messages"])
        tokens = _tokens(body)
        if settings.context_tokens is not None and tokens > settings.context_tokens:
            raise Refused(
                400,
                f"This model's maximum context length is {settings.context_tokens} tokens. However, your messages resulted "
                f"in {tokens} tokens. Please reduce the length of the messages.",
                code="context_length_exceeded",
                param="messages",
            )

    def _said(self, data: Json) -> Response:
        wanted: Json | None = data.get("response_format", {}).get("json_schema")
        tools = [tool["function"] for tool in data.get("tools", [])]
        request = Request(
            messages=tuple(map(_message, data["messages"])),
            schema=json.dumps(wanted["schema"]) if wanted else None,
            temperature=data.get("temperature", 1.0),
            sample=data.get("seed", 0),
            json_reply=wanted is not None,
            tools=tuple(ToolSpec(tool["name"], tool["description"], json.dumps(tool["parameters"])) for tool in tools),
        )
        answer = self._answers(Asked(request, _read(request.messages)))
        if isinstance(answer, Response):
            return answer
        if tools and isinstance(answer, Mapping) and TOOL in answer:
            return reply_of(answer)
        return Response(answer if isinstance(answer, str) else reply(answer, request))

    def _counted(self) -> Counts:
        kept = [
            {"line": head.split(b"\r\n", 1)[0].decode(), "headers": _headers(head), "body": json.loads(body)}
            for head, body in self._kept
        ]
        return replace(self.counts, requests=kept)


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, each after its latency."""

    def __init__(self, chat: Chat, loop: asyncio.AbstractEventLoop) -> None:
        self._chat, self._loop = chat, loop
        self._unread = b""
        self._waiting: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._chat.counts.connections += 1
        self._chat.counts.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._chat.counts.open -= 1
        self._chat.counts.abandoned += len(self._waiting)
        for timer in self._waiting:
            timer.cancel()
            self._chat.counts.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end]
            length = _length(head)
            if len(self._unread) < end + 4 + length:
                return
            body, self._unread = self._unread[end + 4 : end + 4 + length], self._unread[end + 4 + length :]
            answer, scene = self._chat.respond(head, body)
            if scene is None:
                self._transport.write(answer)
            else:
                self._later(now, answer, scene)

    def _later(self, now: float, answer: bytes, scene: Scene) -> None:
        counts = self._chat.counts
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        wait_s = self._chat.settings.latency_s if scene.wait_s is None else scene.wait_s

        def send() -> None:
            self._waiting.discard(timer)
            self._chat.counts.in_flight -= 1
            self._transport.write(answer if scene.cut is None else answer[: scene.cut])
            if scene.cut is not None:
                self._transport.close()

        timer = self._loop.call_at(now + wait_s, send)
        self._waiting.add(timer)


def _message(turn: Json) -> Message:
    wished: list[Json] = turn.get("tool_calls") or []
    calls = [ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in wished]
    return Message(turn["role"], turn.get("content") or "", tuple(calls), turn.get("tool_call_id"))


def _check_calls(turns: Sequence[Json]) -> None:
    """Refuse, as OpenAI does, calls that no tool answers at once, answers to no call, and names that it does not take."""
    unanswered: set[str] = set()
    for place, turn in enumerate(turns):
        if turn["role"] == "tool":
            if turn["tool_call_id"] not in unanswered:
                raise Refused(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                    param=f"messages.[{place}].role",
                )
            unanswered.discard(turn["tool_call_id"])
            continue
        if unanswered:
            break
        wished: list[Json] = turn.get("tool_calls") or []
        for call in wished:
            unanswered.add(call["id"])
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"]):
                raise Refused(
                    400, f"Invalid 'messages[{place}].tool_calls[0].function.name': no match for the pattern."
                )
    if unanswered:
        raise Refused(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {', '.join(sorted(unanswered))}",
            param="messages",
        )


def _read(messages: tuple[Message, ...]) -> Conversation:
    """Read a conversation. What comes before the last turn is mostly as before: demos are the same for all rows."""
    if any(message.tool_calls for message in messages):
        return read(messages)
    before, last = _read_before(messages[:-1]), read([*messages[:1], messages[-1]]).turns[-1:]
    return Conversation(before.instruction, before.outputs, (*before.turns, *last))


@lru_cache
def _read_before(messages: tuple[Message, ...]) -> Conversation:
    return read(messages)


def _tokens(text: bytes | str) -> int:
    return len(text) // 4 + 1


def _completion(model: str, prompt_tokens: int, said: Response) -> Json:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in said.tool_calls
    ]
    message = {"role": "assistant", "content": said.text, **({"tool_calls": calls} if calls else {})}
    reason = "tool_calls" if calls else said.finish_reason
    return {
        "id": "chatcmpl",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": _tokens(said.text)},
    }


def _http(status: int, body: str | Json | list[Json], headers: Mapping[str, str] | None = None) -> bytes:
    text = body.encode() if isinstance(body, str) else to_json(body)
    kind = "text/html" if isinstance(body, str) else "application/json"
    fields = {"Content-Type": kind, "Content-Length": str(len(text)), **(headers or {})}
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    return f"HTTP/1.1 {status} {http.client.responses.get(status, '')}\r\n{lines}\r\n".encode() + text


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _headers(head: bytes) -> dict[str, str]:
    lines = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:]]
    return {name.strip().lower(): value.strip() for name, _, value in lines}


@dataclass(frozen=True)
class Server:
    """A server that runs in another process."""

    url: str
    """The base URL, for clients."""
    process: "subprocess.Popen[str]"
    trusts: ssl.SSLContext | None = None

    def set(self, *, scenes: Sequence[Scene] = (), **settings: object) -> None:
        """Change settings, and say what the next requests get."""
        self._ask("POST", "/set", {"scenes": [asdict(scene) for scene in scenes], **settings})

    def reset(self) -> None:
        """Make it as it was at the start."""
        self._ask("POST", "/reset", {})

    @property
    def counts(self) -> Counts:
        """What came."""
        found = self._ask("GET", "/counts", {})
        found["by_body"] = Counter(cast("dict[str, int]", found["by_body"]))
        return Counts(**found)

    @property
    def last(self) -> Json:
        """The last chat request: `line`, `headers`, `body`."""
        return self.counts.requests[-1]

    def _ask(self, method: str, path: str, body: Json) -> Json:
        host = urlsplit(self.url).netloc
        made = (
            http.client.HTTPSConnection(host, context=self.trusts) if self.trusts else http.client.HTTPConnection(host)
        )
        try:
            made.request(method, path, json.dumps(body))
            return cast("Json", json.loads(made.getresponse().read()))
        finally:
            made.close()


@contextmanager
def serving(
    *,
    answers: str = "default",
    latency_s: float = 0.0,
    key: str | None = None,
    port: int = 0,
    certificate: Path | None = None,
) -> Generator[Server]:
    """Start a server, and stop it at the end. It stops by itself when this process dies.

    With a `certificate`, a PEM file of it and its key, the server speaks TLS.
    """
    options = ["--port", str(port), "--latency", str(latency_s), "--answers", answers, "--while-stdin-is-open"]
    options += ["--key", key] if key else []
    options += ["--certificate", str(certificate)] if certificate else []
    command = [sys.executable, __file__, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        url = process.stdout.readline().strip()
        assert url, "the server did not start"
        yield Server(url, process, ssl.create_default_context(cafile=certificate) if certificate else None)
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def _answers(named: str) -> Answers:
    if ":" not in named:
        return {"default": default, "planted": planted}[named]
    path, _, name = named.rpartition(":")
    return cast("Answers", run_path(path)[name])


async def _run(given: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    chat = Chat(Settings(latency_s=given.latency, key=given.key), _answers(given.answers))
    tls: ssl.SSLContext | None = None
    if given.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(given.certificate)
    server = await loop.create_server(lambda: Connection(chat, loop), "127.0.0.1", given.port, backlog=4096, ssl=tls)
    scheme, port = "https" if tls else "http", server.sockets[0].getsockname()[1]
    print(f"{scheme}://127.0.0.1:{port}/v1", flush=True)
    if given.while_stdin_is_open:
        closed = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), closed.set)  # nothing is ever written there
        await closed.wait()
    else:
        await server.serve_forever()


def main() -> None:
    """Run the server that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 is any that is free")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--key", help="refuse requests with another key")
    parser.add_argument("--answers", default="default", help="default, planted, or FILE.py:NAME")
    parser.add_argument("--certificate", help="speak TLS with the certificate and key in this PEM file")
    parser.add_argument("--while-stdin-is-open", action="store_true", help="stop when it closes")
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
