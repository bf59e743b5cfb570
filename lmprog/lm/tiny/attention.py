"""Attention in parts: over a sequence's own tokens, and over the prefix that it shares with others.

Each part gives the weighted values, the sum of the weights and the largest score; merged, they are the softmax
over both (as in FlashAttention, Dao et al. 2022, arXiv:2205.14135). The parts are the same whether the prefix
was computed just now or long ago for another sequence. The shape of each product is decided by one sequence
alone (or is a fixed tile), so that its result is, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lmprog.lm.tiny.model import Floats, Ints

BUCKET = 64
"""Own tokens are padded to a multiple of this."""
_SCORES_AT_ONCE = 2**18
"""So many scores are computed before their weights are used, about: they stay in the processor's cache."""
_NEVER = np.float32(-1e9)
"""Score of a token that must not be seen: its weight becomes exactly 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Keys and values of tokens that several sequences begin with: (layers, heads, tokens, head width)."""

    keys: Floats
    values: Floats

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.keys.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Attention over some of the tokens, not yet divided by the sum of the weights: (..., heads, queries, *)."""

    values: Floats
    total: Floats
    highest: Floats

    def by_row(self) -> "Part":
        """Return it as (rows, heads, *) from (n, heads, queries, *)."""
        return Part(*(array.swapaxes(1, 2).reshape(-1, array.shape[1], array.shape[3]) for array in self.arrays()))

    def at(self, rows: Ints | slice) -> "Part":
        """Return some of its rows."""
        return Part(*(array[rows] for array in self.arrays()))

    def put(self, rows: Ints, part: "Part") -> None:
        """Write another part into some of its rows."""
        for array, written in zip(self.arrays(), part.arrays(), strict=True):
            array[rows] = written

    @staticmethod
    def joined(parts: Iterable["Part"]) -> "Part":
        """Return parts behind one another along the first axis."""
        return Part(*(np.concatenate(arrays) for arrays in zip(*(part.arrays() for part in parts), strict=True)))

    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Return the three."""
        return self.values, self.total, self.highest


def bucket(length: int) -> int:
    """Return the width to which `length` own tokens and the next one are padded."""
    return (length // BUCKET + 1) * BUCKET


def causal(width: int) -> Floats:
    """Return the mask (queries, tokens) by which a token sees itself and those before it."""
    return np.triu(np.full((width, width), _NEVER, np.float32), 1)


def first(lengths: Ints, width: int) -> Floats:
    """Return the mask (sequences, 1, 1, width) by which each sequence's newest token sees its first `lengths` tokens."""
    hidden = np.arange(width) >= lengths[:, None]
    return np.multiply(hidden, _NEVER, dtype=np.float32)[:, None, None]


def attend(queries: Floats, keys: Floats, values: Floats, mask: Floats | None) -> Part:
    """Return the part of queries (n, heads, queries, head width) over tokens (n or none, heads, tokens, head width)."""
    scores = np.matmul(queries, np.swapaxes(keys, -1, -2))
    if mask is not None:
        scores += mask
    highest = scores.max(-1, keepdims=True)
    scores -= highest
    weights = np.exp(scores, out=scores)
    return Part(np.matmul(weights, values), weights.sum(-1, keepdims=True), highest)


def attend_own(queries: Floats, keys: Floats, values: Floats, mask: Floats) -> Part:
    """Return the causal part over whole sequences of one width: all (sequences, heads, width, head width)."""
    some = _slices(len(queries), queries.shape[1] * mask.size)
    return Part.joined(attend(queries[s], keys[s], values[s], mask) for s in some)


def attend_prefix(queries: Floats, prefix: Prefix, layer: int, tile: int) -> Part:
    """Return the part of (rows, heads, head width) over a prefix, computed in tiles of so many rows."""
    rows, heads, width = queries.shape
    missing = -rows % tile
    if missing:
        queries = np.concatenate([queries, np.zeros((missing, heads, width), np.float32)])
    tiles = queries.reshape(-1, tile, heads, width).swapaxes(1, 2)
    keys, values = prefix.keys[layer], prefix.values[layer]
    some = _slices(len(tiles), heads * tile * keys.shape[1])
    return Part.joined(attend(tiles[s], keys, values, None).by_row() for s in some).at(slice(rows))


def finished(own: Part, prefix: Part | None = None) -> Floats:
    """Return the attention that one part, or two together, amount to."""
    if prefix is None:
        return np.divide(own.values, own.total)
    highest: Floats = np.maximum(own.highest, prefix.highest)
    of_own, of_prefix = np.exp(own.highest - highest), np.exp(prefix.highest - highest)
    values: Floats = own.values * of_own + prefix.values * of_prefix
    values /= own.total * of_own + prefix.total * of_prefix
    return values


def _slices(count: int, scores_each: int) -> Iterator[slice]:
    at_once = max(1, _SCORES_AT_ONCE // scores_each)
    return (slice(start, start + at_once) for start in range(0, count, at_once))
