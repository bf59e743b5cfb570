"""The client of the embedded LM."""

import asyncio
import hashlib
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from weakref import WeakSet

from tokenizers import Tokenizer

from lmprog.errors import ContextError, LMError
from lmprog.lm import adapters
from lmprog.lm.adapters import Encoded
from lmprog.lm.draws import rng
from lmprog.lm.tiny.adapters import Adapters, add
from lmprog.lm.tiny.decoding import Scoring, Writing
from lmprog.lm.tiny.engine import THREADS, Engine
from lmprog.lm.tiny.model import WEIGHTS_FILE, Adapter, Model, read_shape
from lmprog.lm.tiny.scoring import completion_of
from lmprog.lm.tiny.template import Prompt, heading, outputs_in, prompt_of, reply_of
from lmprog.request import Capability, Request, Response, TokenLogprob

WEIGHTS = Path(__file__).parent / "weights"

SHARED_AT_LEAST = 32
"""A shorter beginning of a prompt is not worth a place among the prefixes: it is read with the rest."""
REPLY_AT_MOST = 128
"""Tokens of one reply. The model was trained to write far fewer: what gets longer repeats itself until it is cut off."""
FULL_KEPT = 2
"""So many whole weights other than its own stay in memory, each with threads of its own."""
BEGINNINGS_KEPT = 256
"""So many beginnings of prompts need no second tokenization."""


class Tiny:
    """The embedded LM: a small decoder that runs in this process. weights/README.md says what it can do.

    A reply is a function of the request alone: the batch it was written in, the order of the calls, the number of
    threads and what was kept from earlier calls do not change it. Weights are loaded at the first call.
    """

    capabilities: frozenset[Capability] = frozenset({"generate", "sample", "logprobs", "score", "lora", "finetune"})

    def __init__(self, folder: Path | str = WEIGHTS, *, threads: int = THREADS) -> None:
        self.folder = Path(folder)
        """Where the weights are."""
        self._threads = threads
        self._adapters = Adapters()
        self._name: str | None = None
        self._loaded: _Loaded | None = None
        self._full: OrderedDict[str, _Loaded] = OrderedDict()
        """Under other whole weights, by their SHA-256."""
        self._lock = Lock()
        _all.add(self)

    @property
    def name(self) -> str:
        """`tiny-` and the beginning of the weights' SHA-256: other weights are another LM."""
        if self._name is None:
            weights = (self.folder / WEIGHTS_FILE).read_bytes()
            self._name = f"tiny-{hashlib.sha256(weights).hexdigest()[:8]}"
        return self._name

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request. ContextError where the prompt leaves no room for a reply."""
        if request.weights is not None:
            adapters.check(request.weights, self.name)
        loaded, adapter = self._loaded, None
        if loaded is None:
            loaded = await asyncio.to_thread(self._load)
        if request.weights is not None and adapters.is_full(request.weights):
            loaded = await asyncio.to_thread(self._load_full, request.weights, loaded)
        elif request.weights is not None:
            adapter = self._adapters.get(request.weights, loaded.model)
        asked = _Asked(loaded, self.name, request, adapter)
        return await (asked.score() if request.replies else asked.write())

    def add_adapter(self, path: Path | str) -> str:
        """Make a LoRA adapter or whole weights known, and return the SHA-256 by which `Request.weights` names them.

        `path` is a folder that peft saved, one of transformers with a whole model of this shape, or a file from an artifact.
        It is read again when needed. ArtifactError where it does not fit this model.
        """
        return add(Path(path), read_shape(json.loads((self.folder / "config.json").read_text())), self.name)

    def encode(self, request: Request, reply: str) -> Encoded:
        """Return the tokens of a request and of a reply to it, the very ones that it would read and write."""
        loaded = self._load()
        prompt = prompt_of(request)
        shared, own = loaded.tokens.split(prompt)
        return Encoded(shared + own, loaded.tokens.written(completion_of(reply, prompt, request)))

    def release(self) -> None:
        """Do nothing: it takes little, and of no device."""

    def restart(self) -> None:
        """Forget the threads: those of a forked process stayed with its parent."""
        self._loaded, self._lock = None, Lock()
        self._full = OrderedDict()
        self._adapters.restart()

    def _load(self) -> "_Loaded":
        with self._lock:
            if self._loaded is None:
                model = Model(self.folder)
                self._loaded = _Loaded(model, Tokens(self.folder, model.end), Engine(model, threads=self._threads))
            return self._loaded

    def _load_full(self, sha256: str, own: "_Loaded") -> "_Loaded":
        with self._lock:
            if sha256 not in self._full:
                model = Model(self.folder, adapters.content_of(sha256))
                self._full[sha256] = replace(own, model=model, engine=Engine(model, threads=self._threads))
            self._full.move_to_end(sha256)
            while len(self._full) > FULL_KEPT:
                _, oldest = self._full.popitem(last=False)
                oldest.engine.stop()
            return self._full[sha256]


class Tokens:
    """The tokenizer."""

    def __init__(self, folder: Path, end: int) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.encode_special_tokens = True  # so that no text of a user passes for the end token
        self.end = end
        self.line_break = self.of("\n")
        self._of_beginning = lru_cache(BEGINNINGS_KEPT)(self._beginning)

    def of(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text; half a surrogate pair, which the tokenizer cannot take, is a question mark."""
        return tuple(self._tokenizer.encode(text.encode(errors="replace").decode()).ids)

    def written(self, completion: str) -> tuple[int, ...]:
        """Return the tokens of what the model writes, with the one that ends it."""
        return (*self.of(completion), self.end)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._tokenizer.decode(list(tokens))

    def each(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of each token, the end token's too."""
        return [self._tokenizer.decode([token], skip_special_tokens=False) for token in tokens]

    def split(self, prompt: Prompt) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens that the prompts of one candidate begin with, and those of the question."""
        shared, own = self._of_beginning(prompt.head, prompt.demos), self.of(prompt.question)
        return (shared, own) if len(shared) >= SHARED_AT_LEAST else ((), shared + own)

    def _beginning(self, head: str, demos: tuple[str, ...]) -> tuple[int, ...]:
        between = (self.end, *self.line_break)
        return (*self.of(head), *(token for demo in demos for token in (*self.of(demo), *between)))


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    model: Model
    tokens: Tokens
    engine: Engine


class _Asked:
    """One request on its way to a reply."""

    def __init__(self, loaded: _Loaded, lm_name: str, request: Request, adapter: Adapter | None) -> None:
        self._loaded, self._request, self._adapter = loaded, request, adapter
        self._prompt = prompt_of(request)
        self._shared, self._own = loaded.tokens.split(self._prompt)
        self._asked = len(self._shared) + len(self._own)
        self._written = 0
        self._stopped = True
        self._logprobs: list[TokenLogprob] = []
        self._rng = rng(lm_name, request) if request.temperature else None

    async def write(self) -> Response:
        """Have it written."""
        self._check_room(self._asked)
        return Response(
            text=await (self._one_by_one() if self._prompt.one_by_one else self._at_once()),
            prompt_tokens=self._asked,
            completion_tokens=self._written,
            finish_reason="stop" if self._stopped else "length",
            logprobs=tuple(self._logprobs) if self._request.logprobs else None,
        )

    async def score(self) -> Response:
        """Find how probable the given replies are."""
        tokens = self._loaded.tokens
        texts = [completion_of(reply, self._prompt, self._request) for reply in self._request.replies]
        completions = [tokens.written(text) for text in texts]
        self._check_room(self._asked + max(map(len, completions)) - 1)
        scoring = Scoring(self._shared, self._own, completions, self._adapter)
        await asyncio.wrap_future(self._loaded.engine.submit(scoring))
        read = self._asked + sum(map(len, completions))
        return Response("", prompt_tokens=read, reply_logprobs=tuple(scoring.logprobs))

    def _check_room(self, tokens: int) -> None:
        context = self._loaded.model.shape.context
        if tokens >= context:
            given = " with a given reply" if self._request.replies else ""
            raise ContextError(
                f"the prompt{given} has {tokens} tokens, and the embedded LM reads at most {context - 1}. "
                "Use fewer demos or shorter inputs, or another LM."
            )

    async def _at_once(self) -> str:
        """Let the model write until it ends."""
        completion = await self._continue(frozenset({self._loaded.tokens.end}))
        if self._prompt.plain:
            return completion.strip()
        return reply_of(outputs_in(completion, self._prompt.outputs[0]), self._request, ended=self._stopped)

    async def _one_by_one(self) -> str:
        """Let the model write one line for each output, under its name."""
        tokens = self._loaded.tokens
        outputs: list[tuple[str, str]] = []
        for name in self._prompt.outputs:
            if outputs:
                self._own += tokens.of(f"\n{heading(name)}")
            value = await self._continue(frozenset({tokens.end, *tokens.line_break}))
            outputs.append((name, value.strip()))
            if not self._stopped:
                break
        return reply_of(outputs, self._request, ended=self._stopped)

    async def _continue(self, stops: frozenset[int]) -> str:
        """Return what the model writes next, and put it behind the prompt."""
        room = self._loaded.model.shape.context - len(self._shared) - len(self._own)
        at_most = min(min(self._request.max_tokens, REPLY_AT_MOST) - self._written, room)
        if at_most < 1:
            self._stopped = False
            return ""
        writing = Writing(self._shared, self._own, stops, at_most, self._request.temperature, self._rng, self._adapter)
        writing.wants_logprobs = self._request.logprobs
        await asyncio.wrap_future(self._loaded.engine.submit(writing))
        if writing.logprobs:
            texts = self._loaded.tokens.each(writing.written)
            self._logprobs += map(TokenLogprob, texts, writing.logprobs)
        self._written += len(writing.written)
        self._stopped = writing.stopped
        kept = writing.written[: len(writing.written) - writing.stopped]
        self._own += tuple(kept)
        return self._loaded.tokens.text(kept)


_all: "WeakSet[Tiny]" = WeakSet()
_shared = Tiny()


def shared() -> Tiny:
    """Return the LM that "tiny" names: one for the process, so that all its callers fill one batch."""
    return _shared


def at(folder: str) -> Tiny:
    """Return the LM that "tiny/FOLDER" names: weights of this shape that were trained or merged. LMError where there are none."""
    missing = [name for name in (WEIGHTS_FILE, "config.json", "tokenizer.json") if not (Path(folder) / name).is_file()]
    if missing:
        raise LMError(
            f"{folder} holds no weights of the embedded LM: it has no {missing[0]}. Name a folder that training it wrote, or "
            "`lmprog export ARTIFACT --merged FOLDER`."
        )
    return _at(str(Path(folder).resolve()))


@lru_cache
def _at(folder: str) -> Tiny:
    return Tiny(folder)


def _after_fork() -> None:
    for lm in _all:
        lm.restart()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
