"""Continuous batching: sequences join between two steps, each step writes one token of all, finished ones leave.

A sequence's tokens do not depend on the others of its batch (model.py says how).
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

import numpy as np

from lmprog.lm.draws import drawn, logprob
from lmprog.lm.tiny.attention import Prefix, attend, unseen
from lmprog.lm.tiny.model import Adapter, Floats, Model
from lmprog.lm.tiny.reading import Passage, read

PREFIXES_AT_MOST_BYTES = 64 * 2**20
"""Memory for prefixes that may be used again; one of 300 tokens takes 2.8 MB."""
BUCKET = 64
"""The room for a sequence's own tokens is a multiple of this many."""

Beginning = tuple[str | None, tuple[int, ...]]
"""What names a prefix: the SHA-256 of the adapter, and the tokens."""


@dataclass(eq=False, slots=True)
class Writing:
    """One sequence: its prompt, how it is continued, and what has been written."""

    shared: tuple[int, ...]
    """The part of the prompt that others may begin with, too; may be empty."""
    own: tuple[int, ...]
    """The rest of the prompt, 1 token or more."""
    stops: frozenset[int]
    """Tokens that end it; the one that did is in `written`."""
    at_most: int
    """How many tokens to write at most, 1 or more."""
    temperature: float = 0.0
    rng: np.random.Generator | None = None
    """Gives one number a token where the temperature is above 0."""
    adapter: Adapter | None = None
    wants_logprobs: bool = False
    written: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    """The natural logarithm of each written token's probability at temperature 1, where it is wanted."""
    prefix: Prefix | None = None
    """Keys and values of `shared`, once it has been read."""

    @property
    def stopped(self) -> bool:
        """Whether the model ended it by itself."""
        return bool(self.written) and self.written[-1] in self.stops

    @property
    def done(self) -> bool:
        """Whether nothing more is to be written."""
        return self.stopped or len(self.written) >= self.at_most

    @property
    def held(self) -> int:
        """How many of its own tokens have keys and values: all but the newest."""
        return len(self.own) + len(self.written) - 1

    @property
    def tokens(self) -> int:
        """How many tokens are to be read."""
        return len(self.own)


@dataclass(eq=False, slots=True)
class Scoring:
    """One prompt, and completions whose probabilities are asked for."""

    shared: tuple[int, ...]
    own: tuple[int, ...]
    completions: Sequence[tuple[int, ...]]
    """Each 1 token or more."""
    adapter: Adapter | None = None
    logprobs: list[float] = field(default_factory=list[float])
    """The natural logarithm of each completion's probability, once it is known."""

    @property
    def done(self) -> bool:
        """Whether they are known."""
        return len(self.logprobs) == len(self.completions)

    @property
    def tokens(self) -> int:
        """How many tokens are to be read."""
        return len(self.own) + sum(map(len, self.completions))


class Prefixes:
    """Prefixes by what names them; those used longest ago are forgotten first. Safe to use from several threads."""

    def __init__(self, at_most_bytes: int = PREFIXES_AT_MOST_BYTES) -> None:
        self._at_most_bytes = at_most_bytes
        self._kept: OrderedDict[Beginning, Prefix] = OrderedDict()
        self._lock = Lock()

    def get(self, beginning: Beginning) -> Prefix | None:
        """Return what is kept under this name."""
        with self._lock:
            if beginning in self._kept:
                self._kept.move_to_end(beginning)
            return self._kept.get(beginning)

    def put(self, beginning: Beginning, prefix: Prefix) -> None:
        """Keep it, in place of others if need be."""
        with self._lock:
            self._kept[beginning] = prefix
            while sum(kept.size_bytes for kept in self._kept.values()) > self._at_most_bytes:
                self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Room:
    """Room for keys and values: (layers, places, heads, width, head width)."""

    keys: Floats
    values: Floats

    @property
    def places(self) -> int:
        return len(self.keys[0])

    @staticmethod
    def of(model: Model, places: int, width: int) -> "_Room":
        shape = model.shape
        sizes = (shape.layers, places, shape.heads, width, shape.head_width)
        return _Room(np.zeros(sizes, np.float32), np.zeros(sizes, np.float32))

    def copy_from(self, other: "_Room") -> None:
        self.keys[:, : other.places], self.values[:, : other.places] = other.keys, other.values


class _Name(NamedTuple):
    """What sequences have in common that take their steps together: the width of their own tokens' room, and these."""

    width: int
    prefix: Prefix | None
    adapter: Adapter | None


class _Shelf:
    """The sequences of one name under way."""

    def __init__(self, model: Model, name: _Name, room: _Room) -> None:
        self.writings: list[Writing] = []
        self.width, self.room = name.width, room
        self._model, self._prefix, self._adapter = model, name.prefix, name.adapter

    def put(self, writing: Writing, keys: Sequence[Floats], values: Sequence[Floats]) -> None:
        """Put a sequence behind the others, with its keys and values of each layer (heads, tokens, head width)."""
        place, tokens = len(self.writings), keys[0].shape[1]
        if place >= self.room.places:
            larger = _Room.of(self._model, 2 * place, self.width)
            larger.copy_from(self.room)
            self.room = larger
        for number, (of_keys, of_values) in enumerate(zip(keys, values, strict=True)):
            self.room.keys[number, place, :, :tokens] = of_keys
            self.room.values[number, place, :, :tokens] = of_values
        self.writings.append(writing)

    def remove(self, place: int) -> None:
        """Take a sequence away; the last one takes its place."""
        last = self.writings.pop()
        if place < len(self.writings):
            self.writings[place] = last
            self.room.keys[:, place] = self.room.keys[:, len(self.writings)]
            self.room.values[:, place] = self.room.values[:, len(self.writings)]

    def step(self) -> None:
        """Write one token of every sequence."""
        model, count = self._model, len(self.writings)
        held = np.array([writing.held for writing in self.writings])
        start = self._prefix.length if self._prefix else 0
        turns, mask, places = model.turns(held + start)[:, None], unseen(held + 1, self.width), np.arange(count)
        x = model.embed(np.array([writing.written[-1:] for writing in self.writings]))
        for number in range(model.shape.layers):
            queries, keys, values = model.project(number, "qkv", x, turns, self._adapter)
            all_keys, all_values = self.room.keys[number, :count], self.room.values[number, :count]
            all_keys[places, :, held], all_values[places, :, held] = keys[:, :, 0], values[:, :, 0]
            before = (self._prefix.keys[number], self._prefix.values[number]) if self._prefix else None
            attended = attend(queries, all_keys, all_values, mask, before)
            x = model.close(number, x, attended.reshape(x.shape), self._adapter)
        _write(self.writings, model.logits(x[:, 0]))


class Batch:
    """The sequences that one thread writes."""

    def __init__(self, model: Model, prefixes: Prefixes) -> None:
        self._model, self._prefixes = model, prefixes
        self._shelves: dict[_Name, _Shelf] = {}
        self._spare: dict[int, _Room] = {}
        """Room that an empty shelf left, by width."""

    @property
    def writings(self) -> list[Writing]:
        """The sequences under way."""
        return [writing for shelf in self._shelves.values() for writing in shelf.writings]

    def add(self, writings: Sequence[Writing]) -> None:
        """Read the prompts, and write the first token of each."""
        for writing in writings:
            writing.prefix = self._prefix(writing)
        passages = [Passage(writing.own, writing.prefix, writing.adapter) for writing in writings]
        readings = read(self._model, passages, "last")
        _write(writings, self._model.logits(np.concatenate([reading.outputs for reading in readings])))
        joining = Counter(map(_name, writings))
        for writing, reading in zip(writings, readings, strict=True):
            self._put(writing, reading.keys, reading.values, joining[_name(writing)])

    def step(self) -> None:
        """Write one token of every sequence."""
        for shelf in self._shelves.values():
            shelf.step()
        self._widen()

    def remove(self, writings: set[Writing]) -> None:
        """Take sequences away, done or not."""
        for shelf in self._shelves.values():
            for place in reversed(range(len(shelf.writings))):
                if shelf.writings[place] in writings:
                    shelf.remove(place)
        self._clear()

    def score(self, scoring: Scoring) -> None:
        """Find the probabilities of completions: the prompt is read once, then the completions behind it."""
        prefix, adapter, model = self._prefix(scoring), scoring.adapter, self._model
        *earlier, last = scoring.own
        if earlier:
            (prompt,) = read(model, [Passage(tuple(earlier), prefix, adapter)], "nothing")
            prefix = prompt.prefix(prefix)
        passages = [Passage((last, *completion[:-1]), prefix, adapter) for completion in scoring.completions]
        for completion, reading in zip(scoring.completions, read(model, passages, "all"), strict=True):
            logits = model.logits(reading.outputs)
            scoring.logprobs.append(sum(map(logprob, logits, completion)))

    def _prefix(self, asked: Writing | Scoring) -> Prefix | None:
        if not asked.shared:
            return None
        beginning = (asked.adapter.sha256 if asked.adapter else None, asked.shared)
        prefix = self._prefixes.get(beginning)
        if prefix is None:
            (alone,) = read(self._model, [Passage(asked.shared, None, asked.adapter)], "nothing")
            prefix = alone.prefix(None)
            self._prefixes.put(beginning, prefix)
        return prefix

    def _put(self, writing: Writing, keys: Sequence[Floats], values: Sequence[Floats], joining: int) -> None:
        """Put a sequence on its shelf, a new one with room for as many as are `joining` if there is none."""
        name = _name(writing)
        if name not in self._shelves:
            room = self._spare.pop(name.width, None) or _Room.of(self._model, joining, name.width)
            self._shelves[name] = _Shelf(self._model, name, room)
        self._shelves[name].put(writing, keys, values)

    def _widen(self) -> None:
        """Move sequences whose room is full to more of it."""
        for shelf in list(self._shelves.values()):
            for place in reversed(range(len(shelf.writings))):
                writing = shelf.writings[place]
                if writing.held == shelf.width and not writing.done:
                    self._put(writing, list(shelf.room.keys[:, place]), list(shelf.room.values[:, place]), 1)
                    shelf.remove(place)
        self._clear()

    def _clear(self) -> None:
        """Forget shelves that are empty, but keep the largest room of each width."""
        for name, shelf in list(self._shelves.items()):
            if not shelf.writings:
                del self._shelves[name]
                spare = self._spare.get(shelf.width)
                if spare is None or spare.places < shelf.room.places:
                    self._spare[shelf.width] = shelf.room


def _name(writing: Writing) -> _Name:
    """Return where a sequence belongs: with room for what it holds and the next token."""
    return _Name((writing.held // BUCKET + 1) * BUCKET, writing.prefix, writing.adapter)


def _write(writings: Sequence[Writing], logits: Floats) -> None:
    likeliest = logits.argmax(-1)
    for row, writing in enumerate(writings):
        token = int(likeliest[row])
        if writing.temperature > 0 and writing.rng is not None:
            token = drawn(logits[row], writing.temperature, writing.rng)
        writing.written.append(token)
        if writing.wants_logprobs:
            writing.logprobs.append(logprob(logits[row], token))
