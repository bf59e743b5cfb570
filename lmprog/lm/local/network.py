"""A model on its device: prompts are read one by one, replies written in step.

A reply is a function of its request because every product has a shape that the request alone decides. A prompt is read
by itself, and the part that it shares with others is a pass of its own. Replies are written in a batch that always has as
many rows, of as much room, whether they are in use or not; and a row must come out the same wherever it stands and
whatever the others hold, which is tried before the first reply.
"""

import inspect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin
from transformers.utils import logging

from lmprog.errors import LMError
from lmprog.lm.draws import Floats, drawn, logprob
from lmprog.lm.local.constraint import Constraint
from lmprog.lm.local.lora import Adapter, Adapters, Share
from lmprog.lm.local.lora import sizes_of as sizes_of
from lmprog.lm.local.template import Prompt

LEAST_ROOM = 128
CELLS = 2**16
"""Rows times tokens of one batch, at most: replies to long prompts are written fewer at a time."""
PREFIXES_AT_MOST_BYTES = 2**29
"""Memory for beginnings of prompts that may be used again."""

_KINDS = {"full_attention", "sliding_attention"}
_NEAR = {torch.float32: 1e-2, torch.float16: 5e-2, torch.bfloat16: 1e-1}
"""How far, over the largest logit, what is computed in step may be from what is computed in one pass."""

Held = list[tuple[Tensor, Tensor]]
"""Keys and values by layer, (1, heads, tokens, width of a head) each."""


@dataclass(eq=False, slots=True)
class Writing:
    """One reply: its prompt, how it is written, and what has been written."""

    prompt: Prompt
    room: int
    """Of the batch that it is written in, in tokens: a function of the request."""
    ends: frozenset[int]
    at_most: int
    """How many tokens to write at most, 1 or more."""
    temperature: float = 0.0
    rng: np.random.Generator | None = None
    schema: str | None = None
    adapter: str | None = None
    """The SHA-256 of the adapter that it is under."""
    wants_logprobs: bool = False
    constraint: Constraint | None = None
    failure: LMError | None = None
    """What ended it before its end."""
    written: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])

    @property
    def stopped(self) -> bool:
        """Whether the model ended it by itself."""
        return bool(self.written) and self.written[-1] in self.ends

    @property
    def done(self) -> bool:
        """Whether nothing more is to be written."""
        return self.failure is not None or self.stopped or len(self.written) >= self.at_most

    def take(self, logits: Floats, likeliest: int) -> None:
        """Write the next token."""
        token = likeliest
        if self.constraint is not None:
            free = np.where(self.constraint.allowed(len(logits)), logits, np.float32(-np.inf))
        else:
            free = logits
        if self.temperature > 0 and self.rng is not None:
            token = drawn(free, self.temperature, self.rng)
        elif self.constraint is not None:
            token = int(free.argmax())
        if self.constraint is not None:
            self.constraint.took(token)
        self.written.append(token)
        if self.wants_logprobs:
            self.logprobs.append(logprob(logits, token))

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is all that it takes of the logits."""
        return self.constraint is None and not self.wants_logprobs and self.temperature <= 0


@dataclass(eq=False, slots=True)
class Scoring:
    """One prompt, and completions whose probabilities are asked for."""

    prompt: Prompt
    completions: Sequence[tuple[int, ...]]
    """Each 1 token or more."""
    adapter: str | None = None
    logprobs: list[float] = field(default_factory=list[float])


class Network:
    """A model and what it holds of prompts. For one thread."""

    def __init__(self, folder: Path, reader: str, *, batch: int, device: str | None, dtype: str | None) -> None:
        self._reader, self._batch = reader, batch
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model: Any = _model(folder, place, dtype)
        self.adapters = Adapters(self.model, reader)
        config = self.model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        if kinds - _KINDS:
            raise LMError(
                f"{reader} has layers of the kinds {sorted(kinds - _KINDS)}, and only attention, full or in a sliding window, can be "
                'served here. Serve it with vLLM, and use its address: lm="http://HOST/v1#MODEL".'
            )
        self._mixed = len(kinds) > 1
        self._window: int | None = getattr(config, "sliding_window", None) if kinds != {"full_attention"} else None
        self._keeps = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self._prefixes: OrderedDict[tuple[str | None, tuple[int, ...]], Held] = OrderedDict()
        self._held_bytes = 0
        self._tried: dict[int, int] = {}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return cast("torch.device", self.model.device)

    @property
    def vocabulary(self) -> int:
        """Logits of a token."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    def rows(self, room: int) -> int:
        """Return how many replies are written at once in so much room."""
        rows = self._batch
        while rows > 1 and rows * room > CELLS:
            rows //= 2
        if rows not in self._tried:
            self._tried[rows] = self._try(rows)
        return self._tried[rows]

    def read(self, prompt: Prompt, under: str | None) -> tuple[Held, Tensor]:
        """Return the keys and values of a prompt, and the logits after it, (1, vocabulary)."""
        adapter = self.adapters.get(under) if under else None
        held, logits = self._pass(prompt.own, self._shared(prompt.shared, adapter), adapter, last=True)
        return held, logits

    def score(self, scoring: Scoring) -> None:
        """Find the probabilities of completions: the prompt is read once, then each completion behind it."""
        adapter = self.adapters.get(scoring.adapter) if scoring.adapter else None
        held = self._shared(scoring.prompt.shared, adapter)
        *earlier, last = scoring.prompt.own
        if earlier:
            held, _ = self._pass(earlier, held, adapter, last=True)
        for completion in scoring.completions:
            _, logits = self._pass((last, *completion[:-1]), held, adapter, last=False)
            rows = logits.float().cpu().numpy()
            scoring.logprobs.append(sum(map(logprob, rows, completion)))

    def step(self, tokens: Tensor, positions: Tensor, room: "Room", shares: Sequence[Share]) -> Tensor:
        """Return the logits after one token a row, (rows, vocabulary)."""
        room.positions = positions
        with torch.inference_mode(), self.adapters.under(shares):
            said = self.model(
                input_ids=tokens[:, None],
                position_ids=positions[:, None],
                attention_mask=self._masks(positions, room.length),
                past_key_values=room,
                use_cache=True,
            )
        return cast("Tensor", said.logits[:, -1])

    def _shared(self, tokens: tuple[int, ...], adapter: Adapter | None) -> Held:
        """Return the keys and values of what several prompts begin with."""
        if not tokens:
            return []
        key = (adapter.sha256 if adapter else None, tokens)
        if key not in self._prefixes:
            held, _ = self._pass(tokens, [], adapter, last=True)
            self._prefixes[key] = held
            self._held_bytes += _bytes(held)
        self._prefixes.move_to_end(key)
        held = self._prefixes[key]
        while self._held_bytes > PREFIXES_AT_MOST_BYTES and self._prefixes:
            _, oldest = self._prefixes.popitem(last=False)
            self._held_bytes -= _bytes(oldest)
        return held

    def _pass(self, tokens: Sequence[int], before: Held, adapter: Adapter | None, *, last: bool) -> tuple[Held, Tensor]:
        """Read tokens behind what has been read; return all keys and values, and the logits, of the last token or of each."""
        cache: Any = _empty_cache()
        for number, (keys, values) in enumerate(before):
            cache.update(keys, values, number)
        start = before[0][0].shape[2] if before else 0
        ids = torch.tensor([list(tokens)], device=self.device)
        positions = torch.arange(start, start + len(tokens), device=self.device)[None]
        shares = [Share(adapter, None)] if adapter else []
        kept = {"logits_to_keep": 1} if last and self._keeps else {}
        with torch.inference_mode(), self.adapters.under(shares):
            said = self.model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, **kept)
        held = [(layer.keys, layer.values) for layer in cast("list[Any]", cache.layers)]
        return held, said.logits[0, -1:] if last else said.logits[0]

    def _masks(self, positions: Tensor, length: int) -> Any:
        """Return which tokens each row sees, (rows, 1, 1, length); by the kind of layer where there are two."""
        places = torch.arange(length, device=self.device)
        seen = (places <= positions[:, None])[:, None, None]
        near = seen & (places > positions[:, None] - self._window)[:, None, None] if self._window else seen
        masks = {"full_attention": self._mask(seen), "sliding_attention": self._mask(near)}
        return masks if self._mixed else masks["sliding_attention"]

    def _mask(self, seen: Tensor) -> Tensor:
        if self.model.config._attn_implementation != "eager":
            return seen
        dtype = self.model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=self.device).masked_fill(~seen, torch.finfo(dtype).min)

    def _try(self, rows: int) -> int:
        """Return how many rows a batch may have for a row to come out the same in all places, beside any others: `rows` or fewer.

        LMError where a token in step does not come out as in one pass, so that the model cannot be served.
        """
        rng = Random(0)
        texts = [tuple(rng.randrange(self.vocabulary) for _ in range(length)) for length in (9, 5, 12)]
        read = [self._pass(text[:-1], [], None, last=True)[0] for text in texts]
        _, expected = self._pass(texts[0], [], None, last=True)
        given: list[Tensor] = []
        for place in sorted({0, rows // 2, rows - 1}):
            room = Room(rows, LEAST_ROOM)
            tokens, positions = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, dtype=torch.long)
            for row in range(rows):
                number = 0 if row == place else rng.choice((1, 2))
                room.put(row, read[number])
                tokens[row], positions[row] = texts[number][-1], len(texts[number]) - 1
            given.append(self.step(tokens.to(self.device), positions.to(self.device), room, [])[place])
        if any(not torch.equal(given[0], other) for other in given[1:]):
            return self._try(rows // 2)
        far = (given[0] - expected[0]).abs().max().item()
        if not far <= _NEAR.get(self.model.dtype, 1e-1) * max(1.0, expected.abs().max().item()):
            raise LMError(
                f"{self._reader} cannot be served here: a token after others in a batch gets other logits than in one pass, {far:.3g} "
                'apart. Serve it with vLLM, and use its address: lm="http://HOST/v1#MODEL".'
            )
        return rows


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of a batch in one layer, each row at its own length."""

    def __init__(self, room: "Room") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = room

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take the memory."""
        self.keys, self.values = (
            torch.zeros(
                self._room.rows, each.shape[1], self._room.length, each.shape[3], dtype=each.dtype, device=each.device
            )
            for each in (key_states, value_states)
        )
        self.is_initialized = True

    def put(self, row: int, keys: Tensor, values: Tensor) -> None:
        """Let a row begin with these; what another left there is forgotten."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        for all_, own in ((self.keys, keys), (self.values, values)):
            assert all_ is not None
            all_[row] = 0
            all_[row, :, : own.shape[2]] = own[0]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Put one token a row in its place, and return all."""
        assert self.keys is not None and self.values is not None
        rows = torch.arange(self._room.rows, device=key_states.device)
        self.keys[rows, :, self._room.positions] = key_states[:, :, 0]
        self.values[rows, :, self._room.positions] = value_states[:, :, 0]
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return what a mask has to cover: everything, from the start."""
        return self._room.length, 0

    def get_seq_length(self) -> int:
        """Rows have lengths of their own: masks and positions are given."""
        return 0

    def get_max_length(self) -> int:
        """Return the room of a row."""
        return self._room.length


class Room(Cache):
    """Keys and values of a batch: always of so many rows, each with room for so many tokens."""

    def __init__(self, rows: int, length: int) -> None:
        super().__init__(layers=[])
        self.rows, self.length = rows, length
        self.positions = torch.zeros(rows, dtype=torch.long)
        """Where the next token of each row goes."""

    def put(self, row: int, held: Held) -> None:
        """Let a row begin with what has been read."""
        while len(self.layers) < len(held):
            self.layers.append(_Layer(self))
        with torch.inference_mode():
            for layer, (keys, values) in zip(self.layers, held, strict=True):
                cast("_Layer", layer).put(row, keys, values)


class Batch:
    """Replies that are written in step."""

    def __init__(self, network: Network, room: int) -> None:
        self.network = network
        rows = network.rows(room)
        self._room = Room(rows, room)
        self._writings: list[Writing | None] = [None] * rows

    @property
    def writings(self) -> list[Writing]:
        """The replies under way."""
        return [writing for writing in self._writings if writing]

    @property
    def is_full(self) -> bool:
        """Whether no row is free."""
        return all(self._writings)

    def add(self, writing: Writing) -> None:
        """Read a prompt, and write the first token of its reply."""
        held, logits = self.network.read(writing.prompt, writing.adapter)
        _write([(0, writing)], logits)
        if not writing.done:
            row = self._writings.index(None)
            self._room.put(row, held)
            self._writings[row] = writing

    def remove(self, writing: Writing) -> None:
        """Free the row of a reply, done or not, if it has one."""
        if writing in self._writings:
            self._writings[self._writings.index(writing)] = None

    def step(self) -> None:
        """Write one token of every reply."""
        device, under = self.network.device, list(self._under())
        tokens = [each.written[-1] if each else 0 for each in self._writings]
        positions = [each.prompt.length + len(each.written) - 1 if each else 0 for each in self._writings]
        logits = self.network.step(
            torch.tensor(tokens, device=device), torch.tensor(positions, device=device), self._room, under
        )
        _write([(row, each) for row, each in enumerate(self._writings) if each], logits)

    def _under(self) -> Iterator[Share]:
        for sha256 in sorted({each.adapter for each in self._writings if each and each.adapter}):
            rows = torch.tensor([each is not None and each.adapter == sha256 for each in self._writings])
            yield Share(self.network.adapters.get(sha256), rows.to(self.network.device))


def room_of(tokens: int, context: int) -> int:
    """Return the room for a prompt and its reply: the next power of two, of which there are few, or the model's context."""
    return min(max(LEAST_ROOM, 1 << (tokens - 1).bit_length()), context)


def _write(rows: Sequence[tuple[int, Writing]], logits: Tensor) -> None:
    likeliest = cast("list[int]", logits.argmax(-1).tolist())  # pyright: ignore[reportUnknownMemberType]
    for row, writing in rows:
        if writing.is_plain:
            writing.written.append(likeliest[row])
        else:
            try:
                writing.take(logits[row].float().cpu().numpy(), likeliest[row])
            except LMError as error:
                writing.failure = error


def _model(folder: Path, device: torch.device, dtype: str | None) -> Any:
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    kind = getattr(torch, dtype) if dtype else torch.bfloat16 if half else torch.float32
    showed = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
            folder, dtype=kind, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_memory(error):
            raise
        raise LMError(f"the model in {folder} cannot be loaded: {error}") from error
    finally:
        if showed:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return model.to(device).eval()


def empty(folder: Path) -> Any:
    """Return a model as its config has it, without weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(_config(folder))  # type: ignore[no-untyped-call]


def is_memory(error: BaseException) -> bool:
    """Return whether an error says that the device has too little memory."""
    said = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def _empty_cache() -> Any:
    return DynamicCache()


def _config(folder: Path) -> Any:
    return cast("object", AutoConfig.from_pretrained(folder))  # pyright: ignore[reportUnknownMemberType]


def _bytes(held: Held) -> int:
    return sum(each.nbytes for pair in held for each in pair)
