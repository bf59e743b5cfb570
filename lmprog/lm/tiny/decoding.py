"""Continuous batching: sequences join between two steps, each step writes one token of all, finished ones leave.

A sequence's tokens do not depend on the others of its batch (model.py and attention.py say how).
"""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock

import numpy as np
import numpy.typing as npt

from lmprog.lm.tiny.attention import Part, Prefix, attend, attend_own, attend_prefix, bucket, causal, finished, first
from lmprog.lm.tiny.model import Floats, Ints, Model

PREFIXES_AT_MOST_BYTES = 64 * 2**20
"""Memory for prefixes that may be used again; one of 300 tokens takes 2.8 MB."""


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
    written: list[int] = field(default_factory=list[int])
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


class Prefixes:
    """Prefixes by their tokens; those used longest ago are forgotten first. Safe to use from several threads."""

    def __init__(self, at_most_bytes: int = PREFIXES_AT_MOST_BYTES) -> None:
        self._at_most_bytes = at_most_bytes
        self._kept: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()
        self._lock = Lock()

    def get(self, tokens: tuple[int, ...]) -> Prefix | None:
        """Return what is kept for these tokens."""
        with self._lock:
            if tokens in self._kept:
                self._kept.move_to_end(tokens)
            return self._kept.get(tokens)

    def put(self, tokens: tuple[int, ...], prefix: Prefix) -> None:
        """Keep it, in place of others if need be."""
        with self._lock:
            self._kept[tokens] = prefix
            while sum(kept.size_bytes for kept in self._kept.values()) > self._at_most_bytes:
                self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Padded:
    """Prompts of one bucket that are being read, with their keys and values: (layers, prompts, heads, width, ...)."""

    places: list[int]
    """Which prompts."""
    rows: Ints
    """(prompts, width): the row of each token; padding repeats the last one."""
    real: Ints
    """Where in the flattened `rows` the tokens stand that are no padding."""
    mask: Floats
    keys: Floats
    values: Floats


class _Shelf:
    """The sequences of one bucket, with their keys and values: (layers, places, heads, width, head width)."""

    def __init__(self, model: Model, width: int) -> None:
        self.width = width
        self.writings: list[Writing] = []
        self.keys = self.values = _room(model, 0, width)
        self._model = model

    def extend(self, writings: Sequence[Writing], keys: Floats, values: Floats) -> None:
        """Put sequences behind the others; they may come from a narrower bucket."""
        start, end = len(self.writings), len(self.writings) + len(writings)
        if end > self.keys.shape[1]:
            self.keys, self.values = self._grown(self.keys, end), self._grown(self.values, end)
        self.keys[:, start:end, :, : keys.shape[3]] = keys
        self.values[:, start:end, :, : values.shape[3]] = values
        self.writings.extend(writings)

    def remove(self, place: int) -> None:
        """Take a sequence away; the last one takes its place."""
        last = self.writings.pop()
        if place < len(self.writings):
            self.writings[place] = last
            self.keys[:, place] = self.keys[:, len(self.writings)]
            self.values[:, place] = self.values[:, len(self.writings)]

    def attend(self, number: int, queries: Floats, keys: Floats, values: Floats) -> Part:
        """Add each sequence's newest token (sequences, heads, head width) to a layer, and attend from it."""
        count = len(self.writings)
        held = np.array([writing.held for writing in self.writings])
        places = np.arange(count)
        self.keys[number, places, :, held] = keys
        self.values[number, places, :, held] = values
        mask = first(held + 1, self.width)
        return attend(queries[:, :, None], self.keys[number, :count], self.values[number, :count], mask).by_row()

    def _grown(self, array: Floats, places: int) -> Floats:
        grown = _room(self._model, max(places, 2 * array.shape[1]), self.width)
        grown[:, : array.shape[1]] = array
        return grown


class Batch:
    """The sequences that one thread writes."""

    def __init__(self, model: Model, prefixes: Prefixes) -> None:
        self._model, self._prefixes = model, prefixes
        self._shelves: dict[int, _Shelf] = {}

    @property
    def writings(self) -> list[Writing]:
        """The sequences under way."""
        return [writing for shelf in self._shelves.values() for writing in shelf.writings]

    def add(self, writings: Sequence[Writing]) -> None:
        """Read the prompts, and write the first token of each."""
        for writing in writings:
            writing.prefix = self._prefix(writing.shared) if writing.shared else None
        logits, padded = self._read(writings)
        for group in padded:
            some = [writings[place] for place in group.places]
            self._shelf(group.keys.shape[3]).extend(some, group.keys, group.values)
        _write(writings, logits)

    def step(self) -> None:
        """Write one token of every sequence."""
        shelves = [shelf for shelf in self._shelves.values() if shelf.writings]
        writings = [writing for shelf in shelves for writing in shelf.writings]
        ends = list(accumulate(len(shelf.writings) for shelf in shelves))
        some = [slice(end - len(shelf.writings), end) for shelf, end in zip(shelves, ends, strict=True)]
        positions = np.array([len(w.shared) + w.held for w in writings])
        groups = _by_prefix([w.prefix for w in writings], [1] * len(writings))
        x = self._model.embed(np.array([w.written[-1] for w in writings]))
        for number, layer in enumerate(self._model.layers):
            queries, keys, values = self._model.project(layer, x, positions, self._model.writing_tile)
            parts = [f.attend(number, queries[s], keys[s], values[s]) for f, s in zip(shelves, some, strict=True)]
            attended = _merged(Part.joined(parts), queries, groups, number, self._model.writing_tile)
            x = self._model.close(layer, x, attended, self._model.writing_tile)
        _write(writings, self._model.logits(x, self._model.writing_tile))
        self._widen()

    def remove(self, writings: set[Writing]) -> None:
        """Take sequences away, done or not."""
        for shelf in self._shelves.values():
            for place in reversed(range(len(shelf.writings))):
                if shelf.writings[place] in writings:
                    shelf.remove(place)

    def _prefix(self, tokens: tuple[int, ...]) -> Prefix:
        prefix = self._prefixes.get(tokens)
        if prefix is None:
            _, (alone,) = self._read([Writing((), tokens, frozenset(), 1)])
            length = len(tokens)
            prefix = Prefix(alone.keys[:, 0, :, :length].copy(), alone.values[:, 0, :, :length].copy())
            self._prefixes.put(tokens, prefix)
        return prefix

    def _read(self, writings: Sequence[Writing]) -> tuple[Floats, list[_Padded]]:
        """Return the logits after the last own token of each, and keys and values of all own tokens."""
        lengths = [len(w.own) for w in writings]
        ends = np.cumsum(lengths)
        padded = self._padded(lengths)
        positions = np.concatenate([np.arange(len(w.own)) + len(w.shared) for w in writings])
        groups = _by_prefix([w.prefix for w in writings], lengths)
        x = self._model.embed(np.concatenate([w.own for w in writings]))
        for number, layer in enumerate(self._model.layers):
            queries, keys, values = self._model.project(layer, x, positions, self._model.reading_tile)
            own = _read_own(number, padded, queries, keys, values)
            attended = _merged(own, queries, groups, number, self._model.reading_tile)
            x = self._model.close(layer, x, attended, self._model.reading_tile)
        return self._model.logits(x[ends - 1], self._model.writing_tile), padded

    def _padded(self, lengths: Sequence[int]) -> list[_Padded]:
        by_width: defaultdict[int, list[int]] = defaultdict(list)
        for place, length in enumerate(lengths):
            by_width[bucket(length)].append(place)
        starts = np.cumsum([0, *lengths])
        groups: list[_Padded] = []
        for width, places in by_width.items():
            some, within = np.array([lengths[place] for place in places])[:, None], np.arange(width)
            rows = starts[places][:, None] + np.minimum(within, some - 1)
            real = np.flatnonzero(within < some)
            keys, values = (_room(self._model, len(places), width) for _ in range(2))
            groups.append(_Padded(places, rows, real, causal(width), keys, values))
        return groups

    def _widen(self) -> None:
        """Move sequences whose bucket is full to the next."""
        for shelf in list(self._shelves.values()):
            for place in reversed(range(len(shelf.writings))):
                writing = shelf.writings[place]
                if writing.held == shelf.width and not writing.done:
                    keys, values = shelf.keys[:, place : place + 1], shelf.values[:, place : place + 1]
                    self._shelf(bucket(writing.held)).extend([writing], keys, values)
                    shelf.remove(place)

    def _shelf(self, width: int) -> _Shelf:
        return self._shelves.setdefault(width, _Shelf(self._model, width))


def _room(model: Model, places: int, width: int) -> Floats:
    shape = model.shape
    return np.zeros((shape.layers, places, shape.heads, width, shape.head_width), np.float32)


def _by_prefix(prefixes: Sequence[Prefix | None], lengths: Sequence[int]) -> list[tuple[Prefix | None, Ints]]:
    """Return which rows follow which prefix; the rows are those of sequences of these lengths, one after another."""
    rows: defaultdict[Prefix | None, list[Ints]] = defaultdict(list)
    start = 0
    for prefix, length in zip(prefixes, lengths, strict=True):
        rows[prefix].append(np.arange(start, start + length))
        start += length
    return [(prefix, np.concatenate(some)) for prefix, some in rows.items()]


def _read_own(number: int, padded: Sequence[_Padded], queries: Floats, keys: Floats, values: Floats) -> Part:
    own = Part(np.empty_like(queries), *(np.empty((*queries.shape[:2], 1), np.float32) for _ in range(2)))
    for group in padded:
        group.keys[number] = keys[group.rows].swapaxes(1, 2)
        group.values[number] = values[group.rows].swapaxes(1, 2)
        spread = np.ascontiguousarray(queries[group.rows].swapaxes(1, 2))
        part = attend_own(spread, group.keys[number], group.values[number], group.mask).by_row()
        own.put(group.rows.reshape(-1)[group.real], part.at(group.real))
    return own


def _merged(own: Part, queries: Floats, groups: Sequence[tuple[Prefix | None, Ints]], number: int, tile: int) -> Floats:
    attended = np.empty_like(own.values)
    for prefix, rows in groups:
        before = attend_prefix(queries[rows], prefix, number, tile) if prefix else None
        attended[rows] = finished(own.at(rows), before)
    return attended


def _write(writings: Sequence[Writing], logits: Floats) -> None:
    likeliest = logits.argmax(-1)
    for row, writing in enumerate(writings):
        if writing.temperature > 0 and writing.rng is not None:
            writing.written.append(_drawn(logits[row], writing.temperature, writing.rng))
        else:
            writing.written.append(int(likeliest[row]))


def _drawn(logits: Floats, temperature: float, rng: np.random.Generator) -> int:
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    bounds: npt.NDArray[np.float64] = np.cumsum(np.exp(scaled))
    below = int(np.count_nonzero(bounds <= rng.random() * bounds[-1]))
    return min(below, len(bounds) - 1)  # the product may be rounded up to the last bound
