"""The client of models of Hugging Face that run in this process."""

import asyncio
import os
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from lmprog.errors import ContextError, InputError
from lmprog.lm import adapters
from lmprog.lm.adapters import Encoded
from lmprog.lm.draws import rng
from lmprog.lm.local import folder as folders
from lmprog.lm.packing import check_full, opened, pack, shapes_in, unpack
from lmprog.request import Capability, Request, Response, TokenLogprob

if TYPE_CHECKING:  # torch and transformers, which take seconds to load and are part of an extra
    from lmprog.lm.local.engine import Engine
    from lmprog.lm.local.network import Network
    from lmprog.lm.local.template import Template

BATCH = 16
DTYPES = ("float32", "bfloat16", "float16")


class Local:
    """A causal LM of Hugging Face, from a folder or the hub, served in this process by torch and transformers.

    `lp.Local("models/qwen3-0.6b")`, `lp.Local("Qwen/Qwen3-0.6B")`, or `lm="local/Qwen/Qwen3-0.6B"`. It runs on a GPU in bf16
    where there is one, else on the CPU in fp32; `device` ("cuda:1", "cpu") and `dtype` ("float32", "bfloat16", "float16") say
    otherwise. Prompts go through the model's own chat template; a model without one gets a plain one (template.py).

    Up to `batch` replies are written at once, under any number of LoRA adapters beside each other. A reply is a function
    of the request, the weights, the device, `dtype` and `batch` alone: what else is asked at the time, in whatever order,
    and what was kept from earlier calls do not change it. Weights are loaded at the first call. Needs lmprog[finetune].
    """

    capabilities: frozenset[Capability] = frozenset(
        {"generate", "sample", "logprobs", "score", "lora", "finetune", "constrained"}
    )

    def __init__(
        self, path: Path | str, *, batch: int = BATCH, device: str | None = None, dtype: str | None = None
    ) -> None:
        if batch < 1:
            raise InputError(f"batch={batch}: write at least 1, the number of replies that are written at once.")
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"dtype={dtype!r} is none that can be served: write one of {', '.join(DTYPES)}.")
        self._place = folders.named(path)
        self._batch, self._device, self._dtype = batch, device, dtype
        self._folder: Path | None = None
        self._name: str | None = None
        self._served: tuple[Template, Engine] | None = None
        self._lock = Lock()
        _all.add(self)

    @property
    def folder(self) -> Path:
        """Where the weights are. A model of the hub is got when this is first asked for."""
        if self._folder is None:
            self._folder = folders.found(self._place)
        return self._folder

    @property
    def name(self) -> str:
        """`local-`, the type of the model, and the beginning of a SHA-256 of its files: the same wherever it lies."""
        if self._name is None:
            self._name = folders.identity(self.folder)
        return self._name

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request. ContextError where the prompt leaves no room for a reply."""
        adapter: str | None = None
        full: str | None = None
        if request.weights is not None:
            adapters.check(request.weights, self.name)
            if adapters.is_full(request.weights):
                full = request.weights
            else:
                adapter = request.weights
        template, engine = self._served if self._served is not None else await asyncio.to_thread(self._serve)
        if request.replies:
            return await self._score(request, template, engine, adapter, full)
        return await self._write(request, template, engine, adapter, full)

    def encode(self, request: Request, reply: str) -> Encoded:
        """Return the tokens of a request and of a reply to it, the very ones that it would read and write."""
        return (self._served or self._serve())[0].encode(request, reply)

    def add_adapter(self, path: Path | str) -> str:
        """Make a LoRA adapter or whole weights known, and return the SHA-256 by which `Request.weights` names them.

        `path` is a folder that peft saved, one of transformers with a whole model of this shape, or a file from an artifact.
        It is read again when needed. ArtifactError where it does not fit this model.
        """
        place, name = Path(path).absolute(), self.name
        content = pack(place, name)
        packed = opened(content, Path(path))
        sizes, tensors = _fits(self.folder)
        if packed.is_full:
            names = shapes_in(self.folder)
            check_full(packed, names if packed.shapes.keys() == names.keys() else tensors, name)
        else:
            from lmprog.lm.local.lora import check_fit  # loads torch

            check_fit(packed, sizes, name)
        return adapters.keep(content, name, where=str(place), read=lambda: pack(place, name))

    def release(self) -> None:
        """Forget the loaded weights as soon as nothing is under way; the next request loads them again."""
        if self._served is not None:
            self._served[1].release()

    def restart(self) -> None:
        """Forget the thread and what it loaded: those of a forked process stayed with its parent."""
        self._served, self._lock = None, Lock()

    async def _write(
        self, request: Request, template: "Template", engine: "Engine", adapter: str | None, full: str | None
    ) -> Response:
        from lmprog.lm.local.network import Writing, room_of

        prompt = template.prompt(request)
        self._check_room(template, prompt.length)
        at_most = max(1, min(request.max_tokens, template.context - prompt.length))
        writing = Writing(
            prompt,
            room_of(prompt.length + at_most, template.context),
            template.ends,
            at_most,
            temperature=request.temperature,
            rng=rng(self.name, request) if request.temperature else None,
            schema=request.schema if request.json_reply else None,
            adapter=adapter,
            wants_logprobs=request.logprobs,
        )
        await asyncio.wrap_future(engine.submit(writing, full))
        kept = writing.written[: len(writing.written) - writing.stopped]
        logprobs = tuple(map(TokenLogprob, template.each(writing.written), writing.logprobs))
        return Response(
            text=template.text(kept),
            prompt_tokens=prompt.length,
            completion_tokens=len(writing.written),
            finish_reason="stop" if writing.stopped else "length",
            logprobs=logprobs if request.logprobs else None,
        )

    async def _score(
        self, request: Request, template: "Template", engine: "Engine", adapter: str | None, full: str | None
    ) -> Response:
        from lmprog.lm.local.network import Scoring

        prompt = template.prompt(request)
        completions = [template.completion(reply) for reply in request.replies]
        self._check_room(template, prompt.length + max(map(len, completions)) - 1, " with a given reply")
        scoring = Scoring(prompt, completions, adapter)
        await asyncio.wrap_future(engine.submit(scoring, full))
        read = prompt.length + sum(map(len, completions))
        return Response("", prompt_tokens=read, reply_logprobs=tuple(scoring.logprobs))

    def _check_room(self, template: "Template", tokens: int, given: str = "") -> None:
        if tokens >= template.context:
            raise ContextError(
                f"the prompt{given} has {tokens} tokens, and {self.name} reads at most {template.context - 1}. Use fewer demos or "
                "shorter inputs, or another LM."
            )

    def _serve(self) -> "tuple[Template, Engine]":
        """Load the tokenizer, and return it with what computes. The model itself is loaded by the engine's own thread."""
        with self._lock:
            if self._served is None:
                try:
                    from lmprog.lm.local.engine import Engine
                    from lmprog.lm.local.template import Template
                except ImportError as error:
                    raise InputError(
                        f"to serve {self._place} in this process needs {error.name}, which is not installed: pip install "
                        "'lmprog[finetune]'."
                    ) from None
                template = Template(self.folder, self.name)
                self._served = template, Engine(self._load, self.name, template.serialized, template.ends)
            return self._served

    def _load(self, full: str | None) -> "Network":
        """Load the model, with whole weights in the place of its own where these are named."""
        from lmprog.lm.local.network import Network

        if full is None:
            return Network(self.folder, self.name, batch=self._batch, device=self._device, dtype=self._dtype)
        with TemporaryDirectory(prefix="lmprog-") as place:
            unpack(adapters.content_of(full), Path(place), self.folder)
            return Network(Path(place), self.name, batch=self._batch, device=self._device, dtype=self._dtype)


@cache
def _fits(folder: Path) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, ...]]]:
    """Return (outputs, inputs) of a model's linear layers, and the sizes of all its weights, from its config alone."""
    from lmprog.lm.local.network import empty, sizes_of  # loads torch

    model = empty(folder)
    tied = set(model.all_tied_weights_keys)
    return sizes_of(model), {name: tuple(each.shape) for name, each in model.state_dict().items() if name not in tied}


_all: "WeakSet[Local]" = WeakSet()


@cache
def shared(path: str) -> Local:
    """Return the LM that "local/PATH" names: one for the process, so that all its callers fill one batch."""
    return Local(path)


def _after_fork() -> None:
    for lm in _all:
        lm.restart()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
