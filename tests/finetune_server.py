"""A server that speaks OpenAI's API for files, fine-tuning and chats, for tests: real HTTP, in a thread of this process.

A tuned model has truly learned: asked what an example of its training file asks, it says what that example says; asked
anything else, it says the reply that the words asked make most probable (naive Bayes over the replies of the file).
A base model says what it says to everything. Errors have the words, codes and status of OpenAI's.

    with serving() as server: lp.OpenAI("gpt-4o-mini", base_url=server.url, api_key=KEY)
"""

import asyncio
import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from aiohttp import web

Json = dict[str, Any]

KEY = "sk-a-key-for-tests-4711"
MODELS = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
"""The models that can be tuned; the first is another name of the second."""
UNTUNABLE = "gpt-4"
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
LEAST_EXAMPLES = 10
BASE_SAYS = "[[ answer ]]\nI do not know"

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
_STAGES: tuple[Status, ...] = ("validating_files", "queued", "running", "succeeded")


@dataclass
class Fault:
    """What one request gets in place of its answer."""

    status: int | None = 500
    """None: the connection is dropped."""
    done: bool = False
    """Whether the server does what it is asked all the same."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass
class File:
    """An uploaded file."""

    id: str
    name: str
    content: bytes
    purpose: str
    created: int

    def to_json(self) -> Json:
        """Return the object that the API shows."""
        return {
            "id": self.id, "object": "file", "bytes": len(self.content), "created_at": self.created,
            "filename": self.name, "purpose": self.purpose, "status": "processed", "status_details": None,
            "expires_at": None,
        }  # fmt: skip


@dataclass
class Job:
    """A fine-tuning job."""

    id: str
    body: Json
    model: str
    created: float
    stage_s: float
    """How long each stage takes."""
    fails: Json | None
    tuned: "Tuned | None"
    tokens: int
    epochs: int
    steps: int
    cancelled: bool = False

    @property
    def marks(self) -> dict[str, str]:
        """Its metadata."""
        found: dict[str, str] | None = self.body.get("metadata")
        return found or {}

    @property
    def status(self) -> Status:
        """How far it is: time alone moves it on."""
        if self.cancelled:
            return "cancelled"
        stage = int((time.monotonic() - self.created) / self.stage_s)
        if self.fails is not None and stage >= 1:
            return "failed"
        return _STAGES[min(stage, len(_STAGES) - 1)]

    def to_json(self) -> Json:
        """Return the object that the API shows."""
        status, wanted = self.status, self.body
        done = status == "succeeded"
        given: Json = wanted.get("method", {}).get("supervised", {}).get("hyperparameters", {})
        chosen = {"n_epochs": self.epochs, "batch_size": 1, "learning_rate_multiplier": 1.8}
        begun = status not in ("validating_files", "queued")
        shown = {
            name: given[name] if given.get(name, "auto") != "auto" else chosen[name] if begun else "auto"
            for name in chosen
        }
        return {
            "id": self.id, "object": "fine_tuning.job", "model": self.model, "created_at": int(self.created) + 1_700_000_000,
            "finished_at": int(time.time()) if status in ("succeeded", "failed", "cancelled") else None,
            "fine_tuned_model": self.tuned.name if done and self.tuned else None,
            "organization_id": "org-tests", "result_files": ["file-results"] if done else [], "status": status,
            "validation_file": wanted.get("validation_file"), "training_file": wanted["training_file"],
            "hyperparameters": shown, "trained_tokens": self.tokens if done else None,
            "error": self.fails if status == "failed" else {}, "user_provided_suffix": wanted.get("suffix"),
            "seed": wanted.get("seed", 0), "estimated_finish": None, "integrations": [],
            "metadata": wanted.get("metadata"), "usage_metrics": None, "shared_with_openai": False,
            "method": {"type": "supervised", "supervised": {"hyperparameters": shown}},
        }  # fmt: skip

    def events(self) -> list[Json]:
        """Return what it tells, the newest first."""
        status = self.status
        said = [f"Created fine-tuning job: {self.id}", f"Validating training file: {self.body['training_file']}"]
        if status in ("running", "succeeded"):
            said.append("Fine-tuning job started")
        if status == "failed" and self.fails:
            said.append(f"The job failed: {self.fails['message']}")
        if status == "succeeded" and self.tuned:
            said += [f"New fine-tuned model created: {self.tuned.name}", "The job has successfully completed"]
        told: list[Json] = [
            {"id": f"ftevent-{self.id}-{number}", "object": "fine_tuning.job.event", "created_at": 1_700_000_000 + number,
             "level": "info", "message": text, "type": "message", "data": {}}
            for number, text in enumerate(said)
        ]  # fmt: skip
        return told[::-1]

    def checkpoints(self) -> list[Json]:
        """Return what was kept on the way, the newest first."""
        if self.status != "succeeded" or self.tuned is None:
            return []
        metrics = {"step": self.steps, "train_loss": 0.1, "train_mean_token_accuracy": 0.9}
        return [
            {"id": f"ftckpt-{self.id}", "object": "fine_tuning.job.checkpoint", "created_at": 1_700_000_000,
             "fine_tuned_model_checkpoint": self.tuned.name, "fine_tuning_job_id": self.id, "step_number": self.steps,
             "metrics": metrics}
        ]  # fmt: skip


class Tuned:
    """A tuned model."""

    def __init__(self, name: str, examples: Sequence[Json]) -> None:
        self.name = name
        self._exact: dict[str, str] = {}
        self._words: dict[str, Counter[str]] = {}
        self._times: Counter[str] = Counter()
        for example in examples:
            *asked, said = example["messages"]
            if said.get("weight", 1):
                self._learn(asked, said["content"])

    def _learn(self, asked: Sequence[Json], said: str) -> None:
        self._exact[_text(asked)] = said
        self._words.setdefault(said, Counter()).update(_words(asked))
        self._times[said] += 1

    def answer(self, messages: Sequence[Json]) -> str:
        """Return its reply."""
        known = self._exact.get(_text(messages))
        return known if known is not None else max(self._words, key=lambda said: self._probable(said, messages))

    def _probable(self, said: str, messages: Sequence[Json]) -> float:
        words, all_words = self._words[said], len(set[str]().union(*self._words.values()))
        total = words.total() + all_words
        found = sum(math.log((words[word] + 1) / total) for word in _words(messages))
        return found + math.log(self._times[said])


class Untaught(Tuned):
    """A tuned model that answers as its base does: the training did not reach it."""

    def answer(self, messages: Sequence[Json]) -> str:
        """Return what the base says."""
        return BASE_SAYS


def _text(messages: Sequence[Json]) -> str:
    return json.dumps([[turn["role"], turn["content"]] for turn in messages])


def _words(messages: Sequence[Json]) -> list[str]:
    return [word for turn in messages for word in turn["content"].lower().split()]


class Refused(Exception):
    """Answered with an error in OpenAI's form."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


class Server:
    """The server. Tests look at what it has, and say how it behaves."""

    def __init__(self) -> None:
        self.url = ""
        """The base URL, for clients."""
        self.files: dict[str, File] = {}
        self.jobs: dict[str, Job] = {}
        self.counts: Counter[str] = Counter()
        """Requests, by method and path with `ID` for what names something."""
        self.asked: list[Json] = []
        """The bodies of chats."""
        self.faults: dict[str, deque[Fault]] = {}
        """What the next requests get, by the same."""
        self.stage_s = 0.02
        self.fails: Json | None = None
        """What is wrong with the next jobs."""
        self.untaught = False
        """Whether tuned models answer as the base."""
        self.named_as_base = False
        """Whether tuned models have their base's name."""
        self.tells_tokens = True
        self.page = 100
        """The longest page of a list."""
        self._tuned: dict[str, Tuned] = {}
        self._numbers = count(1)

    def fault(self, what: str, *faults: Fault) -> None:
        """Have the next requests of a kind go wrong."""
        self.faults.setdefault(what, deque()).extend(faults)

    def app(self) -> web.Application:
        """Return it as an application."""
        app = web.Application(client_max_size=1 << 30, middlewares=[self._around])
        routes: list[tuple[str, str, Callable[[web.Request], Awaitable[Json]]]] = [
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files", self._list_files),
            ("GET", "/v1/files/{id}", self._show_file),
            ("DELETE", "/v1/files/{id}", self._delete_file),
            ("POST", "/v1/fine_tuning/jobs", self._create),
            ("GET", "/v1/fine_tuning/jobs", self._list_jobs),
            ("GET", "/v1/fine_tuning/jobs/{id}", self._show_job),
            ("POST", "/v1/fine_tuning/jobs/{id}/cancel", self._cancel),
            ("GET", "/v1/fine_tuning/jobs/{id}/events", self._events),
            ("GET", "/v1/fine_tuning/jobs/{id}/checkpoints", self._checkpoints),
            ("GET", "/v1/models", self._models),
            ("POST", "/v1/chat/completions", self._chat),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, _answering(handler))
        return app

    @web.middleware
    async def _around(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        resource = request.match_info.route.resource
        path = resource.canonical.removeprefix("/v1").replace("{id}", "ID") if resource else request.path
        what = f"{request.method} {path}"
        self.counts[what] += 1
        waiting = self.faults.get(what)
        fault = waiting.popleft() if waiting else None
        if fault is not None and not fault.done:
            await request.read()
        answer = await handler(request) if fault is None or fault.done else web.Response()
        if fault is None:
            return answer
        if fault.status is None:
            assert request.transport is not None
            request.transport.abort()
            return answer
        error = {"error": {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}}
        return web.json_response(error, status=fault.status, headers=fault.headers)

    def check(self, request: web.Request) -> None:
        """Refuse a wrong key."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != KEY:
            raise Refused(401, f"Incorrect API key provided: {given}.", code="invalid_api_key")

    def _id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers):06}"

    async def _upload(self, request: web.Request) -> Json:
        form = await request.post()
        purpose, sent = form.get("purpose"), form.get("file")
        if not isinstance(sent, web.FileField):
            raise Refused(400, "'file' is a required property", param="file")
        if purpose not in PURPOSES:
            raise Refused(400, f"{purpose!r} is not one of {list(PURPOSES)} - 'purpose'", param="purpose")
        content = sent.file.read()
        if purpose == "fine-tune":
            _check_lines(sent.filename, content)
        file = File(self._id("file"), sent.filename, content, str(purpose), int(time.time()))
        self.files[file.id] = file
        return file.to_json()

    async def _list_files(self, request: web.Request) -> Json:
        purpose = request.query.get("purpose")
        return self._listed(request, [one.to_json() for one in self.files.values() if purpose in (None, one.purpose)])

    async def _show_file(self, request: web.Request) -> Json:
        return self._file(request.match_info["id"]).to_json()

    async def _delete_file(self, request: web.Request) -> Json:
        file = self._file(request.match_info["id"])
        del self.files[file.id]
        return {"id": file.id, "object": "file", "deleted": True}

    def _file(self, file_id: str) -> File:
        if file_id not in self.files:
            raise Refused(404, f"No such File object: {file_id}", param="id")
        return self.files[file_id]

    async def _create(self, request: web.Request) -> Json:
        body: Json = await request.json()
        model = body.get("model")
        if model not in (*MODELS, *self._tuned):
            message = f"Model {model} is not available for fine-tuning or does not exist."
            raise Refused(400, message, code="model_not_available", param="model")
        for what in ("training_file", "validation_file"):
            file_id = body.get(what)
            if file_id is None and what == "validation_file":
                continue
            file = self.files.get(str(file_id))
            if file is None:
                raise Refused(400, f"invalid {what}: {file_id}", code="invalid_file", param=what)
            if file.purpose != "fine-tune":
                message = f"The file {file_id} has the purpose {file.purpose!r}; expected 'fine-tune'."
                raise Refused(400, message, code="invalid_file_purpose", param=what)
        if len(body.get("suffix") or "") > 64:
            raise Refused(400, f"{body['suffix']!r} is too long - 'suffix'", param="suffix")
        job = self._job(body)
        self.jobs[job.id] = job
        return job.to_json()

    def _job(self, body: Json) -> Job:
        job_id = self._id("ftjob")
        examples = [json.loads(line) for line in self.files[body["training_file"]].content.splitlines()]
        fails = self.fails or _fault_of(examples)
        given: Json = body.get("method", {}).get("supervised", {}).get("hyperparameters", {})
        asked = given.get("n_epochs", "auto")
        epochs = 3 if asked == "auto" else asked
        base = MODELS[-1] if body["model"] == MODELS[0] else body["model"]
        name = f"ft:{base}:tests:{body.get('suffix', '')}:{job_id[-6:]}"
        name = base if self.named_as_base else name
        tuned = None if fails else (Untaught if self.untaught else Tuned)(name, examples)
        tokens = sum(len(turn["content"]) // 4 + 4 for one in examples for turn in one["messages"]) if not fails else 0
        if tuned is not None and not self.named_as_base:
            self._tuned[name] = tuned
        trained = epochs * tokens * self.tells_tokens
        return Job(
            job_id, body, base, time.monotonic(), self.stage_s, fails, tuned, trained, epochs, epochs * len(examples)
        )

    async def _list_jobs(self, request: web.Request) -> Json:
        marks = {name[9:-1]: value for name, value in request.query.items() if name.startswith("metadata[")}
        found = [one.to_json() for one in self.jobs.values() if marks.items() <= one.marks.items()]
        return self._listed(request, found)

    async def _show_job(self, request: web.Request) -> Json:
        return self._known(request).to_json()

    async def _cancel(self, request: web.Request) -> Json:
        job = self._known(request)
        if job.status in ("succeeded", "failed", "cancelled"):
            raise Refused(400, f"Job has already completed: {job.id}", code="invalid_job_status")
        job.cancelled = True
        return job.to_json()

    async def _events(self, request: web.Request) -> Json:
        return self._listed(request, self._known(request).events()[::-1])

    async def _checkpoints(self, request: web.Request) -> Json:
        return self._listed(request, self._known(request).checkpoints())

    def _known(self, request: web.Request) -> Job:
        job_id = request.match_info["id"]
        if job_id not in self.jobs:
            raise Refused(404, f"Could not find fine tune: {job_id}", code="fine_tune_not_found", param="fine_tune_id")
        return self.jobs[job_id]

    def _listed(self, request: web.Request, data: list[Json]) -> Json:
        """Return a page of a list, the newest first."""
        data = data[::-1]
        after = request.query.get("after")
        if after is not None:
            data = data[[one["id"] for one in data].index(after) + 1 :]
        limit = min(int(request.query.get("limit", 20)), self.page)
        page = data[:limit]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return {"object": "list", "data": page, "has_more": len(data) > limit, **ends}

    async def _models(self, request: web.Request) -> Json:
        names = [*MODELS, UNTUNABLE, *self._served()]
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "x"} for name in names],
        }

    def _served(self) -> dict[str, Tuned]:
        done = {job.tuned.name for job in self.jobs.values() if job.tuned and job.status == "succeeded"}
        return {name: tuned for name, tuned in self._tuned.items() if name in done}

    async def _chat(self, request: web.Request) -> Json:
        body: Json = await request.json()
        self.asked.append(body)
        model, messages, tuned = body["model"], body["messages"], self._served()
        if model not in (*MODELS, UNTUNABLE, *tuned):
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Refused(404, message, code="model_not_found")
        text = tuned[model].answer(messages) if model in tuned else BASE_SAYS
        prompt = sum(len(turn["content"]) // 4 + 4 for turn in messages)
        said = len(text) // 4 + 1
        return {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said},
        }  # fmt: skip


def _check_lines(name: str, content: bytes) -> None:
    if not name.endswith(".jsonl"):
        raise Refused(400, "Invalid file format for Fine-Tuning API. Must be .jsonl", param="file")
    for line in content.decode(errors="replace").splitlines():
        try:
            if isinstance(json.loads(line), dict):
                continue
        except ValueError:
            pass
        start = f"Line starts with: {line[:20]!r}..."
        message = f"Expected file to have JSONL format, where every line is a valid JSON dictionary. {start}"
        raise Refused(400, message, param="file")


def _fault_of(examples: Sequence[Json]) -> Json | None:
    """Return what the validation of a training file finds."""
    for number, example in enumerate(examples, start=1):
        turns: Sequence[Json] = example.get("messages") or []
        if (
            not turns
            or turns[-1].get("role") != "assistant"
            or not all(isinstance(t.get("content"), str) for t in turns)
        ):
            message = f"Invalid file format. Input file {number} is in the chat-completion format and its last message must be from the assistant"
            return {"code": "invalid_training_file", "message": message, "param": "training_file"}
        if any(t.get("weight", 1) not in (0, 1) or ("weight" in t and t["role"] != "assistant") for t in turns):
            message = f"Invalid file format. Line {number}: weight must be 0 or 1, and of assistant messages alone"
            return {"code": "invalid_training_file", "message": message, "param": "training_file"}
    if len(examples) < LEAST_EXAMPLES:
        message = f"Training file has {len(examples)} example(s), but must have at least {LEAST_EXAMPLES} examples"
        return {"code": "invalid_n_examples", "message": message, "param": "training_file"}
    return None


def _answering(
    handler: Callable[[web.Request], Awaitable[Json]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler that checks the key, and answers with JSON."""
    server: Server = handler.__self__  # type: ignore[attr-defined]

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            server.check(request)
            return web.json_response(await handler(request))
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)

    return answer


@contextmanager
def serving() -> Generator[Server]:
    """Start a server, and stop it at the end."""
    server = Server()
    with in_thread(server.app()) as server.url:
        yield server


@contextmanager
def in_thread(app: web.Application) -> Generator[str]:
    """Serve an application in a thread of its own, and give its base URL."""
    loop, ready, urls = asyncio.new_event_loop(), threading.Event(), list[str]()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
