"""The client of a vLLM server whose weights are here, too: adapters are trained here, and loaded into it while it runs."""

import asyncio
import os
import re
import sys
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from lmprog import loop
from lmprog.errors import ArtifactError, CapabilityError, InputError, LMError, UnavailableError
from lmprog.lm import adapters
from lmprog.lm.adapters import Encoded
from lmprog.lm.local.folder import found, named
from lmprog.lm.openai import TIMEOUT_S, OpenAI, other_key
from lmprog.lm.packing import ADAPTER_CONFIG, opened, pack, unpack
from lmprog.lm.refusals import Refusal
from lmprog.lm.wire import Json, shown
from lmprog.request import Capability, Request, Response

if TYPE_CHECKING:
    from lmprog.lm.local.template import Template

T = TypeVar("T")

PREFIX = "vllm/"
CAPABILITIES: frozenset[Capability] = frozenset(
    {"generate", "sample", "constrained", "tools", "score", "lora", "finetune"}
)
LOADED_AT_MOST = 8
"""Adapters that one client keeps loaded: those used last."""
READER = "vLLM"

_LOADED = re.compile(r"already been loaded", re.IGNORECASE)
_RANK = re.compile(r"max_lora_rank|lora rank \d+ is greater", re.IGNORECASE)
_OFF = re.compile(r"lora is not enabled|enable.?lora", re.IGNORECASE)
_NOT_SEEN = re.compile(r"no adapter found|no such file|does not exist|not a local folder", re.IGNORECASE)


class VLLM:
    """A model that a vLLM server serves from weights that are here as well, so that it can be tuned.

    `lp.VLLM("Qwen/Qwen3-8B", base_url="http://localhost:8000/v1")` asks that server, as lp.OpenAI does, whose settings it
    takes. `folder` has the weights that the server was started with, and their tokenizer, for training: by default the
    model's name, as a path or as an id on the Hugging Face hub. Adapters are written as peft does to a folder of their own
    in `adapters` (by default `lmprog/adapters` in the user's cache), which the server must see under the same path, and
    loaded into it at the first request under them; the server has to be started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True,
    `--enable-lora` and a `--max-lora-rank` no less than that of the training. Of those that this client loaded the `loaded_at_most` used last stay.

    `name` is what call logs and artifacts know the weights by, and with them what adapters are for: by default the
    server's URL and the model. Give servers of the same weights one name to have their adapters serve on each of them.
    """

    capabilities: frozenset[Capability] = CAPABILITIES

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        folder: Path | str | None = None,
        adapters: Path | str | None = None,
        loaded_at_most: int = LOADED_AT_MOST,
        name: str | None = None,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, object] | None = None,
    ) -> None:
        if loaded_at_most < 1:
            raise InputError(
                f"VLLM(loaded_at_most={loaded_at_most}): write 1 or more, to have it answer under adapters."
            )
        self._client = OpenAI(
            model, base_url=base_url, api_key=api_key, timeout_s=timeout_s, headers=headers, extra_body=extra_body
        )
        self.base_url = self._client.base_url
        self.name = name or f"{PREFIX}{self._client.name}"
        self._place = model if folder is None else str(folder)
        self._adapters = Path(adapters or _cache()).expanduser().absolute()
        self._most = loaded_at_most
        self._loaded: OrderedDict[str, None] = OrderedDict()
        """The adapters that this client knows the server to have, by SHA-256; the one used last is the last."""
        self._in_use: Counter[str] = Counter()
        self._loading = asyncio.Lock()
        _all.add(self)

    def __repr__(self) -> str:
        return f"VLLM({self._client.model!r}, base_url={self._client.base_url!r})"

    @cached_property
    def folder(self) -> Path:
        """The weights, as transformers reads them; got from the hub where an id names them. InputError where there are none."""
        return found(named(self._place))

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request, or tell how probable replies are. CapabilityError where it needs what this LM does not do."""
        if request.weights is not None:
            adapters.check(request.weights, self.name)
        self._client.check(request)
        return await loop.hop(self._score(request) if request.replies else self._answer(request))

    def encode(self, request: Request, reply: str) -> Encoded:
        """Return the tokens of a request and of a reply to it, as the model's own chat template makes them."""
        return self._template.encode(request, reply)

    def add_adapter(self, path: Path | str) -> str:
        """Make a LoRA adapter known, and return the SHA-256 by which `Request.weights` names it.

        `path` is a folder that peft saved, or a file from an artifact. The server loads it at the first request under it.
        """
        place = Path(path).absolute()
        content = pack(place, READER)
        packed = opened(content, place)
        if packed.is_full:
            raise ArtifactError(
                f"{place} holds whole weights, which no running vLLM server takes. Start one with them: `vllm serve FOLDER`; or train "
                "an adapter, with method=lora."
            )
        packed.settings(READER)
        return adapters.keep(content, self.name, where=str(place), read=lambda: pack(place, READER))

    def release(self) -> None:
        """Do nothing: the memory is the server's."""

    def restart(self) -> None:
        """Forget the requests under way: those of a forked process stayed with its parent, and its event loop."""
        self._in_use, self._loading = Counter(), asyncio.Lock()

    @cached_property
    def _template(self) -> "Template":
        try:
            from lmprog.lm.local.template import Template  # loads transformers, which is heavy and part of an extra
        except ImportError as error:
            raise InputError(
                f"to know the tokens of {self.name} needs {error.name}: pip install 'lmprog[finetune]'."
            ) from None
        return Template(self.folder, self.name)

    async def _answer(self, request: Request) -> Response:
        async def ask(model: str) -> Response | Refusal:
            return await self._client.answer_as(request, model)

        answer = await self._under(request.weights, ask)
        return await self._replied(answer, request)

    async def _score(self, request: Request) -> Response:
        """Find how probable given replies are: the server reads each behind the prompt, and tells of every token of it."""
        encoded = await asyncio.to_thread(lambda: [self.encode(request, reply) for reply in request.replies])

        async def ask(model: str) -> Json | Refusal:
            body: Json = {
                "model": model,
                "prompt": [[*each.prompt, *each.completion] for each in encoded],
                "prompt_logprobs": 1,
                "max_tokens": 1,
                "temperature": 0.0,
            }
            return await self._client.api("POST", "completions", body)

        answer = await self._under(request.weights, ask)
        if isinstance(answer, Refusal):
            return await self._replied(answer, request)
        try:
            choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
            logprobs = tuple(_logprob(choice, each) for choice, each in zip(choices, encoded, strict=True))
        except (LookupError, TypeError, ValueError):
            raise LMError(
                f"{self.name} sent no `prompt_logprobs` of the replies that it was asked about but {shown(str(answer))} Is it a vLLM "
                f"server, and is {self._place} what it serves?"
            ) from None
        usage: Any = answer.get("usage") or {}
        return Response(
            "",
            prompt_tokens=int(usage.get("prompt_tokens") or sum(len(p) + len(c) for p, c in encoded)),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            usd=None,
            reply_logprobs=logprobs,
        )

    async def _replied(self, answer: Response | Refusal, request: Request) -> Response:
        if isinstance(answer, Response):
            return answer
        model = self._client.model if request.weights is None else _served_as(request.weights)
        return await self._client.refused(answer, request, model)

    async def _under(self, sha256: str | None, ask: Callable[[str], Awaitable[T | Refusal]]) -> T | Refusal:
        """Ask the server's model, or an adapter of it, which is loaded if need be; again where the server has forgotten it."""
        if sha256 is None:
            return await ask(self._client.model)
        name = _served_as(sha256)
        self._in_use[sha256] += 1
        try:
            await self._load(sha256)
            answer = await ask(name)
            if isinstance(answer, Refusal) and answer.kind == "missing":
                self._loaded.pop(sha256, None)
                await self._load(sha256)
                answer = await ask(name)
            return answer
        finally:
            self._in_use[sha256] -= 1

    async def _load(self, sha256: str) -> None:
        """Have the server load an adapter, unless it has it."""
        if sha256 in self._loaded:  # to wait for another's loading is not called for
            self._loaded.move_to_end(sha256)
            return
        async with self._loading:
            if sha256 not in self._loaded:
                folder = await asyncio.to_thread(self._unpacked, sha256)
                said = {"lora_name": _served_as(sha256), "lora_path": str(folder)}
                refusal = await self._client.tell("load_lora_adapter", said)
                if refusal is not None and not _LOADED.search(refusal.message):
                    raise self._not_loaded(refusal, sha256, folder)
                self._loaded[sha256] = None
                await self._make_room()
            self._loaded.move_to_end(sha256)

    async def _make_room(self) -> None:
        """Have the server forget the adapters used longest ago, but none that a request is under way for."""
        idle = [sha256 for sha256 in self._loaded if not self._in_use[sha256]]
        for sha256 in idle[: max(0, len(self._loaded) - self._most)]:
            if self._in_use[sha256]:  # since the one before was unloaded
                continue
            del self._loaded[sha256]
            await self._client.tell(
                "unload_lora_adapter", {"lora_name": _served_as(sha256)}
            )  # it may have forgotten it

    def _unpacked(self, sha256: str) -> Path:
        """Return the folder of an adapter, written whole or not at all."""
        folder = self._adapters / sha256[:16]
        if (folder / ADAPTER_CONFIG).exists():
            return folder
        content = adapters.content_of(sha256)
        try:
            self._adapters.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self._adapters, prefix="new-") as new:
                unpack(content, Path(new) / "adapter", self._place)
                try:
                    os.rename(Path(new) / "adapter", folder)
                except OSError:
                    if not (folder / ADAPTER_CONFIG).exists():  # another process was first
                        raise
        except OSError as error:
            raise LMError(
                f"the adapter for {self.name} cannot be written to {self._adapters}: {error.strerror}. Name a folder that this process can "
                "write to and the server can read: lp.VLLM(..., adapters=...)."
            ) from None
        return folder

    def _not_loaded(self, refusal: Refusal, sha256: str, folder: Path) -> Exception:
        """Return the error that a refusal to load an adapter means."""
        said = f"{self.name} did not load the adapter {sha256[:16]}: {refusal.status}, {refusal.message or 'nothing'}".rstrip(
            "."
        )
        rank = opened(adapters.content_of(sha256), folder).settings(READER).r
        start = f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {self._client.model} --enable-lora --max-lora-rank {_rank(rank)}"
        if _RANK.search(refusal.message):
            return CapabilityError(
                f"{said}. Its rank is {rank}: start the server as `{start}`, or train with a lower `rank`."
            )
        if _NOT_SEEN.search(refusal.message):
            return LMError(
                f"{said}. The server must see {folder} under that path: name a folder that both see, lp.VLLM(..., adapters=...)."
            )
        if refusal.status in (404, 405) or _OFF.search(refusal.message):
            return CapabilityError(f"{said}. It takes no adapters while it runs. Start it as `{start}`.")
        if refusal.status in (408, 425, 429, 502, 503, 504):
            return UnavailableError(f"{said}.", retry_after_s=refusal.retry_after_s, refused=True)
        return LMError(f"{said}. Was it trained on the weights that the server has? It was given {folder}.")


_all: "WeakSet[VLLM]" = WeakSet()


def from_spec(spec: str) -> VLLM:
    """Return the client that "http://HOST/v1#MODEL" names: one for a spec and a key. LMError where the spec is incomplete."""
    base_url, _, model = spec.partition("#")
    if not model or not base_url.startswith(("http://", "https://")):
        raise LMError(f'"{PREFIX}{spec}" names no server and model. Write "{PREFIX}http://HOST:8000/v1#MODEL".')
    return _shared(model, base_url, other_key(base_url))


@cache
def _shared(model: str, base_url: str, api_key: str | None) -> VLLM:
    return VLLM(model, base_url=base_url, api_key=api_key)


def _cache() -> Path:
    """Return where adapters are written by default: a server reads them again whenever it needs room, so they stay."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmprog" / "adapters"


def _served_as(sha256: str) -> str:
    return f"lmprog-{sha256[:16]}"


def _rank(rank: int) -> int:
    """Return the least value of vLLM's option that a rank fits in."""
    return next((each for each in (8, 16, 32, 64, 128, 256, 320, 512) if each >= rank), rank)


def _logprob(choice: Json, each: Encoded) -> float:
    """Return the logarithm of a reply's probability; of each token of the text that it ends, the server tells some by their numbers."""
    told, start = choice["prompt_logprobs"], len(each.prompt)
    text = [*each.prompt, *each.completion]
    if len(told) != len(text):
        raise ValueError(f"{len(told)} of {len(text)} tokens")
    return sum(float(told[place][str(text[place])]["logprob"]) for place in range(start, len(text)))


def _after_fork() -> None:
    for lm in _all:
        lm.restart()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
